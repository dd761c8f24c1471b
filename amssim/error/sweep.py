"""The sharing study: every choice on a stream of matrices, one record per choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from amssim.error.metrics import Metrics
from amssim.error.output import OutputError
from amssim.error.sharing import ORDERS, Choice, arrange, restore
from amssim.error.sources import check_matrix
from amssim.errors import InputError
from amssim.minifloat import Minifloat
from amssim.rules import SEARCH_RULES
from amssim.scheme import PUBLISHED, Scheme

E2M3, E2M2, E2M1, E3M2 = (Minifloat(*widths) for widths in ((2, 3), (2, 2), (2, 1), (3, 2)))


def default_choices(weighted: bool = False) -> list[Choice]:
    """Return the study's choices: each dimension varied around the published formats.

    Args:
        weighted: whether activations are at hand, so that a weighted search can be tried.
    """
    found = [Choice(Scheme(e, k)) for e in (E2M3, E2M2, E2M1, E3M2) for k in range(1, 9)]
    shared = [Scheme(e, k) for e in (E2M3, E2M2) for k in (2, 3, 4, 8)]
    found += [Choice(s, search) for s in shared for search in SEARCH_RULES]
    found += [Choice(s, share_axis="output") for s in shared]
    for s in PUBLISHED:
        found += [Choice(s, order=order) for order in ORDERS]
        for block in (None, 512, 256, 128, 64):
            found += [Choice(s, scale=rule, scale_block=block) for rule in ("absmax", "mse")]
        if weighted:
            found += [Choice(s, scale=rule, weighted=True) for rule in ("absmax", "mse")]
    return list(dict.fromkeys(found))


@dataclass
class _Total:
    """What a choice has cost so far."""

    metrics: Metrics
    output: OutputError
    stored_bits: float = 0.0


def sweep(
    matrices: Iterable[tuple[str, np.ndarray]],
    choices: Sequence[Choice],
    moments: Mapping[str, np.ndarray] | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> list[dict]:
    """Return one record per choice: its options, effective bits and metrics over all matrices.

    Args:
        matrices: names and float32[rows, cols] weights; each is read once and let go.
        choices: what to try.
        moments: second moments float32[cols, cols] of the inputs, by matrix name; with them the
            records have ``output_sqnr_db`` and weighted choices work.
        progress: told the name of each matrix before it is measured.

    Raises:
        InputError: a matrix that is empty, not finite or zero everywhere, or no matrix at all.
    """
    totals = {choice: _Total(Metrics(), OutputError()) for choice in choices}
    for name, weights in matrices:
        progress(name)
        check_matrix(name, weights)
        _measure(weights, totals, (moments or {}).get(name))
    if not any(total.metrics.count for total in totals.values()):
        raise InputError("no weights to measure: the source has no matrix")
    return [_record(choice, total) for choice, total in totals.items()]


def _measure(weights: np.ndarray, totals: dict[Choice, _Total], moment) -> None:
    for order in ORDERS:
        group = {c: t for c, t in totals.items() if c.order == order}
        arranged = arrange(weights, order) if group else weights
        for choice, total in group.items():
            importance = None if moment is None else np.diagonal(moment).astype(np.float32)
            restored = restore(arranged, choice, importance)
            total.metrics += Metrics.of(arranged, restored)
            total.stored_bits += float(choice.effective_bits(weights.shape)) * weights.size
            if moment is not None and order == "stored":
                total.output += OutputError.of(weights, restored, moment)


def _record(choice: Choice, total: _Total) -> dict:
    bits = total.stored_bits / total.metrics.count
    return (
        choice.as_dict()
        | {"effective_bits": bits}
        | total.metrics.as_dict()
        | total.output.as_dict()
    )
