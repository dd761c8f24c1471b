"""The sharing study: every choice on a stream of matrices, one record per choice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from amssim.minifloat import Minifloat
from amssim.quality.cost import QuantizationCost
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.layers.sources import check_matrix
from amssim.quality.sharing.options import WEIGHT_ORDERS, SharingOptions
from amssim.quality.sharing.restore import reordered, restore
from amssim.rules import SEARCH_RULES
from amssim.scheme import PUBLISHED, Scheme

E2M3, E2M2, E2M1, E3M2 = (Minifloat(*widths) for widths in ((2, 3), (2, 2), (2, 1), (3, 2)))


def default_study(weighted: bool = False) -> list[SharingOptions]:
    """Return the study's choices: each dimension varied around the published formats.

    Args:
        weighted: whether activations are at hand, so that a weighted search can be tried.
    """
    found = [SharingOptions(Scheme(e, k)) for e in (E2M3, E2M2, E2M1, E3M2) for k in range(1, 9)]
    shared = [Scheme(e, k) for e in (E2M3, E2M2) for k in (2, 3, 4, 8)]
    found += [SharingOptions(s, search) for s in shared for search in SEARCH_RULES]
    found += [SharingOptions(s, share_axis="output") for s in shared]
    for s in PUBLISHED:
        found += [SharingOptions(s, order=order) for order in WEIGHT_ORDERS]
        for block in (None, 512, 256, 128, 64):
            found += [
                SharingOptions(s, scale=rule, scale_block=block) for rule in ("absmax", "mse")
            ]
        if weighted:
            found += [SharingOptions(s, scale=rule, weighted=True) for rule in ("absmax", "mse")]
    return list(dict.fromkeys(found))


def sharing_study(layers: Iterable[LinearLayer], choices: Sequence[SharingOptions]) -> list[dict]:
    """Return one record per choice: its options, effective bits and metrics over all layers.

    Args:
        layers: the weights, each read once and let go; where they come with second moments the
            records have ``output_sqnr_db`` and weighted choices work.
        choices: what to try.

    Raises:
        InputError: weights that are empty, not finite or all zero, or no layer at all.
    """
    tallies = {choice: QuantizationCost() for choice in choices}
    for layer in layers:
        check_matrix(layer.name, layer.weights)
        _measure(layer, tallies)
    for tally in tallies.values():
        tally.check()
    return [choice.as_dict() | tally.as_dict() for choice, tally in tallies.items()]


def _measure(layer: LinearLayer, tallies: dict[SharingOptions, QuantizationCost]) -> None:
    for order in WEIGHT_ORDERS:
        group = {c: t for c, t in tallies.items() if c.order == order}
        if not group:
            continue
        # inputs have the stored order: what is known of them fits no other
        moments = layer.moments if order == "stored" else None
        arranged = LinearLayer(layer.name, reordered(layer.weights, order), moments)
        for choice, tally in group.items():
            restored = restore(arranged.weights, choice, arranged.importance)
            tally.add(arranged, restored, choice.effective_bits(layer.weights.shape))
