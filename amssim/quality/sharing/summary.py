"""The sharing study in a sentence for each published format."""

from __future__ import annotations

from collections.abc import Sequence

from amssim.quality.record import QualityRecord, decibels, gap
from amssim.quality.sharing.options import matching
from amssim.scheme import PUBLISHED


def summarize(records: Sequence[QualityRecord]) -> list[tuple[str, str]]:
    """Say what sharing costs the published formats, and what adaptive gains, in two clauses each.

    Args:
        records: of the default study, see `amssim.quality.sharing.study`.
    """
    clauses = []
    for scheme in PUBLISHED:
        element = scheme.minifloat.name
        (own,) = matching(records, element=element, k=scheme.k)
        (whole,) = matching(records, element=element, k=1)
        rules = [r for r in matching(records, search=None, scheme=scheme.name) if r != own]
        best = max(rules, key=decibels)
        cost = f"{decibels(own):.2f} dB at {own['effective_bits']:.2f} bits, "
        cost += f"{gap(whole, own)} less than {whole['scheme']}"
        gain = f"{gap(own, best)} more than with the next best search rule, {best['search']}"
        clauses.append((f"{scheme.name}: {cost}", gain))
    return clauses
