"""Fill the tables of docs/FORMAT.md from the code: python analysis/format_tables.py [--check]"""

from __future__ import annotations

import markers

from amssim import drawing, layout, scheme, schemes


def elements() -> str:
    """Limits of the presets' minifloats."""
    rows = []
    for f in dict.fromkeys(s.minifloat for s in schemes()):
        limits = [f"{limit:g}" for limit in (f.max_value, f.min_normal, f.min_subnormal)]
        rows.append([f.name.upper(), f.bits, 2**f.bits, f.bias, *limits])
    columns = ["element", "bits", "codes", "bias", "largest", "least normal", "least subnormal"]
    return markers.table(columns, rows)


def presets() -> str:
    """Bits and block sizes of the presets."""
    rows = []
    for s in schemes():
        form = layout.layout(s)
        shape = "fused" if form.fused else "block"
        sizes = [form.block_weights, form.block_words]
        rows.append([f"`{s.name}`", f"`ams-{s.minifloat.name}-k{s.k}`", s.k, s.bits, shape, *sizes])
    columns = ["name", "general name", "k", "payload bits", "form", "weights", "half-words"]
    return markers.table(columns, rows)


def block(name: str, half_words: list[int]) -> str:
    """Half-words of a block, bit 15 on the left."""
    lines = drawing.draw_block(scheme(name)).splitlines()
    return "\n".join(["```", *lines[:3], *(lines[3 + word] for word in half_words), "```"])


def parts() -> dict[str, str]:
    """Every generated part of the document by its marker."""
    return {
        "elements": elements(),
        "presets": presets(),
        "layout fp5.33-e2m3": block("fp5.33-e2m3", [0]),
        "layout fp4.25-e2m2": block("fp4.25-e2m2", [0, 1, 15, 16]),
    }


if __name__ == "__main__":
    markers.main("docs/FORMAT.md", parts(), __doc__)
