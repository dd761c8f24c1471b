"""Fill the tables of docs/SIMULATOR.md: python analysis/simulator_tables.py [--check]

Record first: python analysis/fit_simulator.py and python analysis/validate_simulator.py.
"""

from __future__ import annotations

import json

import markers

from amssim.hardware import FIELDS, names, profile
from amssim.simulator import descriptor, kernels, predict_decode, predict_speedup

RESULTS = markers.ROOT / "analysis" / "results"
SIMPLE = ("16/bits", "roofline", "constants")
#: How sources are called where the name alone says little.
SOURCES = {"amssim": "measured by this project", "prototype": "measured on a prototype"}


def record() -> dict:
    """What analysis/validate_simulator.py recorded."""
    return json.loads((RESULTS / "simulator_validation.json").read_text())


def validation() -> str:
    """Errors on data that was not fitted, next to the gates and the simple models."""
    found = record()
    headings = ["device", "kernel", "bits", "batch", "quantity", "judged on", "points"]
    headings += ["mean error", "p90"]
    headings += ["right winner", "gate", *SIMPLE]
    rows = [_validation_row(r) for r in found["rows"]]
    return markers.table(headings, rows) + f"\n\n`{found['command']}`"


def _validation_row(r: dict) -> list[object]:
    winner = f"{r['winner']:.1%}" if "winner" in r else ""
    simple = [f"{r['baselines'][name]:.0%}" for name in SIMPLE]
    bits = ", ".join(f"{b:.4g}" for b in r["bits"])
    batch = "{} to {}".format(*r["batch"])
    judged = f"{r['judged']}, {source(r)}"
    head = [r["device"], r["kernel"], bits, batch, r["quantity"], judged]
    return [
        *head,
        r["points"],
        f"**{r['mean']:.1%}**",
        f"{r['p90']:.1%}",
        winner,
        _gate(r),
        *simple,
    ]


def source(r: dict) -> str:
    """Whose measurements a row is judged on."""
    return SOURCES.get(r["source"], r["source"])


def _gate(r: dict) -> str:
    if not r["gate"]:
        return ""
    return f"{limits(r['gate'])}: {'met' if r['met'] else '**missed**'}"


def limits(gate: dict[str, float]) -> str:
    """A gate in words."""
    signs = {"mean": "<=", "p90": "p90 <=", "winner": "winner >="}
    return ", ".join(f"{signs[name]} {value:.0%}" for name, value in gate.items())


def summary() -> str:
    """The ranges of the table, in words."""
    found = record()
    groups: dict[tuple, list[float]] = {}
    for r in found["rows"]:
        groups.setdefault((r["judged"], r["quantity"], source(r)), []).append(r["mean"])
    lines = [
        f"- {quantity}, {judged}, {whose}: {min(e):.0%} to {max(e):.0%} mean error, {len(e)} sets."
        for (judged, quantity, whose), e in groups.items()
    ]
    million = found["million_predictions_s"]
    return "\n".join(
        [*lines, f"- A sweep of a million speedups, once compiled: {million:.1f} s on one core."]
    )


def leanings() -> str:
    """Where a GPU without any measurement is predicted too slow (+) or too fast (-)."""
    rows = []
    for r in record()["rows"]:
        parts = r.get("leanings", [])
        cells = [f"{x['kernel']:+.0%} / {x['baseline']:+.0%}" for x in parts]
        if parts:
            rows.append([r["device"], r["kernel"], *cells])
            headings = [_class(x) for x in parts]
    return markers.table(["device", "kernel", *headings], rows)


def _class(x: dict) -> str:
    (low, high), batch = x["weights"], "batch {} to {}".format(*x["batch"])
    if low == 0:
        return f"below {high / 1e6:.0f} M weights, {batch}"
    return f"from {low / 1e6:.0f} M, {batch}"


def figures_of_a_profile() -> str:
    """The fields of a profile."""
    rows = [[f"`{n}`", f.unit, f"{f.low:g} to {f.high:g}", f.meaning] for n, f in FIELDS.items()]
    return markers.table(["figure", "unit", "accepted", "meaning"], rows)


def devices() -> str:
    """The shipped profiles."""
    rows = []
    for name in names():
        p = profile(name)
        rate = p.value("dram_bytes_per_s") * p.value("dram_efficiency") / 1e9
        pipes = p.value("alu_lanes") * p.value("sms") * p.value("clock_hz") / 1e12
        rows.append([f"`{name}`", p.title, f"{rate:.0f}", f"{pipes:.1f}", len(p.doubtful)])
    columns = ["name", "device", "GB/s reached", "10^12 logic lanes/s", "doubtful figures"]
    return markers.table(columns, rows)


def parameters() -> str:
    """What was fitted of each kernel, by device."""
    rows = []
    for name in kernels():
        for variant in descriptor(name).variants:
            for device, (fitted, error) in variant.fits.items():
                values = ", ".join(f"{k} {_short(k, v)}" for k, v in fitted.items())
                shown = "" if error is None else f"{error.mean:.1%} / {error.p90:.1%}"
                rows.append([name, variant.name, device, values, shown])
    return markers.table(["kernel", "variant", "device", "fitted", "error, mean / p90"], rows)


def _short(name: str, value: float) -> str:
    return f"{value * 1e6:.2f} us" if name.endswith("_s") else f"{value:.4g}"


def printed(value: object) -> str:
    """What `print` shows, as a block of code."""
    return f"```\n{value}\n```"


def parts() -> dict[str, str]:
    """Every generated part of the document by its marker."""
    return {
        "summary": summary(),
        "validation": validation(),
        "leanings": leanings(),
        "profile": figures_of_a_profile(),
        "devices": devices(),
        "parameters": parameters(),
        "speedup": printed(predict_speedup(bits=5.33)),
        "decode reference": printed(predict_decode("reference-27m", 5.33, context=512)),
        "decode 8b": printed(predict_decode("llama-3.1-8b", 5.33)),
        "decode 8b fp16": printed(predict_decode("llama-3.1-8b", None)),
    }


if __name__ == "__main__":
    markers.main("docs/SIMULATOR.md", parts(), __doc__)
