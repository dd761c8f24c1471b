"""Fill the tables of docs/FORMATS.md from code and results: python analysis/comparison_tables.py

With --check only say whether it is up to date. Record first: python analysis/measure_formats.py
"""

from __future__ import annotations

import markers
import measure_formats
import recorded

from amssim import formats
from amssim.formats import Format, Permuted


def kinds(forms: list[Format]) -> list[list[Format]]:
    """Formats by class, in order."""
    by_class: dict[type, list[Format]] = {}
    for form in forms:
        by_class.setdefault(type(form), []).append(form)
    return list(by_class.values())


def described(forms: list[Format]) -> str:
    """One row per class: what it takes and where it comes from."""
    rows = []
    for group in kinds(forms):
        form = group[0]
        kind = f"`{type(form).__name__}`"
        simplified = form.simplified or "nothing"
        rows.append([kind, form.formula, form.uses, form.source, simplified, form.checked])
    columns = ["class", "bits per weight", "input statistics", "source", "simplified", "checked by"]
    return markers.table(columns, rows)


def names() -> str:
    """Registered names by class, the AMS presets aside."""
    by_class: dict[str, list[str]] = {}
    for name in (n for n in formats.format_names() if not n.startswith("fp")):
        by_class.setdefault(type(formats.find_format(name)).__name__, []).append(f"`{name}`")
    rows = [[f"`{kind}`", ", ".join(found)] for kind, found in by_class.items()]
    return markers.table(["class", "names"], rows)


def numbers() -> str:
    """Bits and dB of each recorded format."""
    record = recorded.load("formats")
    rows = []
    for r in sorted(record["records"], key=lambda r: (r["normal"]["bits"], r["name"])):
        cells = [f"{r[kind][key]:.{n}f}" for kind in ("normal", "real")
                 for key, n in (("bits", 4), ("db", 2))]  # fmt: skip
        rows.append([f"`{r['name']}`", *cells])
    rows_, cols = measure_formats.SHAPE
    real = "x".join(map(str, record["shape"]))
    columns = ["format", f"bits, {rows_}x{cols}", "dB, normal", f"bits, {real}", "dB, real"]
    made = f"`{record['command']}`, {record['machine']['processor']}; real: `{record['tensor']}`."
    return markers.table(columns, rows) + "\n\n" + made


def parts() -> dict[str, str]:
    """Every generated part of the document by its marker."""
    registered = [formats.find_format(name) for name in formats.format_names()]
    extensions = [*measure_formats.EXTENSIONS, Permuted(registered[0])]
    return {
        "formats": described(registered),
        "names": names(),
        "extensions": described(extensions),
        "numbers": numbers(),
    }


if __name__ == "__main__":
    markers.main("docs/FORMATS.md", parts(), __doc__)
