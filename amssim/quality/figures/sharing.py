"""Figures of the sharing study."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from amssim.figures import CYCLE, GREY, MARKERS, figure, styled
from amssim.quality.record import QualityRecord
from amssim.quality.sharing.options import matching
from amssim.rules import SEARCH_RULES


@styled
def cost_of_k(records: Sequence[QualityRecord], *, title: str = "") -> Figure:
    """SQNR against k for each element; ``theory_db``, where recorded, as a dashed line."""
    drawn, (ax,) = figure()
    chosen = sorted(matching(records), key=lambda r: r["k"])
    for i, element in enumerate(dict.fromkeys(r["element"] for r in chosen)):
        own = [r for r in chosen if r["element"] == element]
        ks, measured = [r["k"] for r in own], [r["sqnr_db"] for r in own]
        ax.plot(ks, measured, MARKERS[i], color=CYCLE[i], label=element)
        line = "--" if "theory_db" in own[0] else "-"
        expected: list[float] = [r["theory_db"] if "theory_db" in r else r["sqnr_db"] for r in own]
        ax.plot(ks, expected, line, color=CYCLE[i])
    if any("theory_db" in r for r in chosen):
        ax.plot([], [], "--", color=GREY, label="closed form")
    ax.set(xlabel="k, weights that share a bit", ylabel="SQNR, dB", title=title)
    if chosen:
        drawn.legend(loc="outside lower center", ncols=5)
    return drawn


@styled
def cost_of_search(records: Sequence[QualityRecord], *, title: str = "") -> Figure:
    """SQNR of each search rule against k, one panel per element."""
    chosen = sorted(matching(records, search=None), key=lambda r: r["k"])
    compared = [r for r in chosen if r["search"] == "replace"]
    elements = list(dict.fromkeys(r["element"] for r in compared))
    drawn, panels = figure(max(len(elements), 1))
    for ax, element in zip(panels, elements, strict=False):
        for i, rule in enumerate(SEARCH_RULES):
            own = [r for r in chosen if (r["element"], r["search"]) == (element, rule)]
            own = [r for r in own if r["k"] > 1]
            line = f"{MARKERS[i]}-"
            ax.plot(
                [r["k"] for r in own], [r["sqnr_db"] for r in own], line, color=CYCLE[i], label=rule
            )
        ax.set(xlabel="k", ylabel="SQNR, dB", title=f"{title} {element}".strip())
    if elements:
        drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return drawn


@styled
def cost_of_scales(records: Sequence[QualityRecord], *, title: str = "") -> Figure:
    """SQNR against effective bits as scale blocks shrink, for both scale rules."""
    drawn, (ax,) = figure()
    chosen = matching(records, scale=None, scale_block=None)
    by_scheme = {r["scheme"] for r in chosen if r["scale_block"]}
    for i, scheme in enumerate(sorted(by_scheme)):
        for rule, line in (("absmax", "--"), ("mse", "-")):
            own = [r for r in chosen if (r["scheme"], r["scale"]) == (scheme, rule)]
            own.sort(key=lambda r: r["effective_bits"])
            xs, ys = [r["effective_bits"] for r in own], [r["sqnr_db"] for r in own]
            ax.plot(xs, ys, f"{MARKERS[i]}{line}", color=CYCLE[i], label=f"{scheme}, {rule}")
    ax.set(xlabel="effective bits per weight", ylabel="SQNR, dB", title=title)
    if by_scheme:
        ax.legend(handlelength=3.5)  # so that dashes show beside their marker
    return drawn
