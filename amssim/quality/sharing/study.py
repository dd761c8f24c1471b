"""The sharing study: every way of sharing on a stream of layers, one record for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from amssim.minifloat import Minifloat
from amssim.quality.cost import QuantizationCost
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.layers.sources import check_matrix
from amssim.quality.record import QualityRecord
from amssim.quality.sharing.options import WEIGHT_ORDERS, SharingOptions
from amssim.quality.sharing.restore import reordered, restore
from amssim.rules import SCALE_RULES, SEARCH_RULES
from amssim.scheme import PUBLISHED, Scheme

_E2M3, _E2M2, _E2M1, _E3M2 = (Minifloat(*widths) for widths in ((2, 3), (2, 2), (2, 1), (3, 2)))


def default_study(*, weighted: bool = False) -> list[SharingOptions]:
    """Return what the study tries: each option varied around the published formats.

    Args:
        weighted: whether moments are at hand, so that a weighted search can be tried.
    """
    tried = [
        SharingOptions(Scheme(e, k)) for e in (_E2M3, _E2M2, _E2M1, _E3M2) for k in range(1, 9)
    ]
    shared = [Scheme(e, k) for e in (_E2M3, _E2M2) for k in (2, 3, 4, 8)]
    tried += [SharingOptions(s, search=rule) for s in shared for rule in SEARCH_RULES]
    tried += [SharingOptions(s, share_axis="output") for s in shared]
    for s in PUBLISHED:
        tried += [SharingOptions(s, order=order) for order in WEIGHT_ORDERS]
        for block in (None, 512, 256, 128, 64):
            tried += [SharingOptions(s, scale=rule, scale_block=block) for rule in SCALE_RULES]
        if weighted:
            tried += [SharingOptions(s, scale=rule, weighted=True) for rule in SCALE_RULES]
    return list(dict.fromkeys(tried))


def sharing_study(
    layers: Iterable[LinearLayer], tried: Sequence[SharingOptions]
) -> list[QualityRecord]:
    """Return a record for each of ``tried``: its options, effective bits and error over all layers.

    Args:
        layers: the weights, each read once and let go; where they come with second moments the
            records have ``output_sqnr_db`` and weighted options work.
        tried: ways of sharing.

    Raises:
        InputError: weights that are empty, not finite or all zero, or no layer at all.
    """
    costs = {options: QuantizationCost() for options in tried}
    for layer in layers:
        check_matrix(layer.name, layer.weights)
        _measure(layer, costs)
    for cost in costs.values():
        cost.check()
    return [options.as_dict() | cost.as_dict() for options, cost in costs.items()]


def _measure(layer: LinearLayer, costs: Mapping[SharingOptions, QuantizationCost]) -> None:
    """Restore ``layer`` in every way; each order of the weights is made once."""
    for order in WEIGHT_ORDERS:
        own = {options: cost for options, cost in costs.items() if options.order == order}
        if not own:
            continue
        # inputs have the stored order: what is known of them fits no other
        moments = layer.moments if order == "stored" else None
        arranged = LinearLayer(layer.name, reordered(layer.weights, order), moments)
        for options, cost in own.items():
            restored = restore(arranged.weights, options, importance=arranged.importance)
            cost.add(arranged, restored, options.effective_bits(layer.weights.shape))
