"""Fill the tables of README.md from recorded results: python analysis/readme_tables.py [--check]

Record first: amssim bench cpu --json > analysis/results/cpu.json
"""

from __future__ import annotations

import json

import bench_gpu_tables
import markers
import simulator_readme
import tested_versions

RESULTS = markers.ROOT / "analysis" / "results"


def cpu() -> str:
    """Rates and ratios of the CPU benchmark, one row per item."""
    record = json.loads((RESULTS / "cpu.json").read_text())
    items = record["results"]
    columns = list(dict.fromkeys((r["threads"], tuple(r["shape"])) for r in items))
    rows = {}
    for r in items:
        cell = f"{r['gweights_per_s']:.2f}" + (f" ({r['ratio']:.2f}x)" if "ratio" in r else "")
        key = (r["item"], r["scheme"] or "", r.get("baseline", ""))
        rows.setdefault(key, {})[(r["threads"], tuple(r["shape"]))] = cell
    headings = ["item", "scheme", "baseline"]
    headings += [f"{n[0]}x{n[1]}, {t} thread{'s' * (t > 1)}" for t, n in columns]
    body = [[*key, *(cells.get(c, "") for c in columns)] for key, cells in rows.items()]
    machine = record["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    source = (
        f"10^9 weights per second, in brackets the ratio to the baseline. "
        f"`amssim bench cpu --json`, {machine['processor']}, {machine['cpus']} CPUs, "
        f"Python {machine['python']}, {versions}. `import amssim` takes {record['import_s']:.3f} s."
    )
    return markers.table(headings, body) + "\n\n" + source


def gpu() -> str:
    """Speedups of the GPU benchmark for the layers of Llama-3, batch 1, 8 and 64."""
    found = bench_gpu_tables.record()
    cells = {}
    for r in found["results"]:
        if r["layer"].startswith("Llama-3") and r["batch"] in (1, 8, 64):
            layer = f"{r['layer']}, {bench_gpu_tables.size(r)}"
            ratio = f"{r['cublas_us'] / r['us']:.2f}x"
            cells.setdefault(layer, {})[(r["scheme"], r["batch"])] = ratio
    columns = list(next(iter(cells.values())))
    headings = ["layer", *(f"{scheme}, batch {batch}" for scheme, batch in columns)]
    body = [[layer, *(row[c] for c in columns)] for layer, row in cells.items()]
    return markers.table(headings, body) + "\n\n" + bench_gpu_tables.source(found)


if __name__ == "__main__":
    parts = {"cpu": cpu(), "gpu": gpu(), "versions": tested_versions.table()}
    parts |= simulator_readme.parts()
    markers.main("README.md", parts, __doc__)
