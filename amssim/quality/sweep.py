"""The sharing study: every choice on a stream of matrices, one record per choice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from amssim.minifloat import Minifloat
from amssim.quality.sharing import ORDERS, Choice, arrange, restore
from amssim.quality.sources import check_matrix
from amssim.quality.tally import Layer, Tally
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


def sweep(layers: Iterable[Layer], choices: Sequence[Choice]) -> list[dict]:
    """Return one record per choice: its options, effective bits and metrics over all layers.

    Args:
        layers: the weights, each read once and let go; where they come with second moments the
            records have ``output_sqnr_db`` and weighted choices work.
        choices: what to try.

    Raises:
        InputError: weights that are empty, not finite or all zero, or no layer at all.
    """
    tallies = {choice: Tally() for choice in choices}
    for layer in layers:
        check_matrix(layer.name, layer.weights)
        _measure(layer, tallies)
    for tally in tallies.values():
        tally.check()
    return [choice.as_dict() | tally.as_dict() for choice, tally in tallies.items()]


def _measure(layer: Layer, tallies: dict[Choice, Tally]) -> None:
    for order in ORDERS:
        group = {c: t for c, t in tallies.items() if c.order == order}
        if not group:
            continue
        # inputs have the stored order: what is known of them fits no other
        moments = layer.moments if order == "stored" else None
        arranged = Layer(layer.name, arrange(layer.weights, order), moments)
        for choice, tally in group.items():
            restored = restore(arranged.weights, choice, arranged.importance)
            tally.add(arranged, restored, choice.effective_bits(layer.weights.shape))
