"""Fill the tables of README.md from recorded results: python analysis/readme_tables.py [--check]

Record first: amssim bench cpu --json > analysis/results/cpu.json
"""

from __future__ import annotations

import bench_gpu_tables
import decode_tables
import markers
import recorded
import simulator_readme
import tested_versions

BATCHES = (1, 8, 64)


def cpu(record: dict) -> str:
    """Rates and ratios of the CPU benchmark, one row per item."""
    results, machine = record["results"], record["machine"]
    columns = list(dict.fromkeys((r["threads"], *r["shape"]) for r in results))
    items: dict[tuple[str, str, str], dict[tuple, str]] = {}
    for r in results:
        ratio = f" ({r['ratio']:.2f}x)" if "ratio" in r else ""
        key = (r["item"], r["scheme"] or "", r.get("baseline", ""))
        cells = items.setdefault(key, {})
        cells[r["threads"], *r["shape"]] = f"{r['gweights_per_s']:.2f}{ratio}"
    headings = ["item", "scheme", "baseline"]
    headings += [f"{m}x{k}, {threads} thread{'s' * (threads > 1)}" for threads, m, k in columns]
    rows = [[*key, *(cells.get(c, "") for c in columns)] for key, cells in items.items()]
    source = (
        f"10^9 weights per second, in brackets the ratio to the baseline. "
        f"`amssim bench cpu --json`, {machine['processor']}, {machine['cpus']} CPUs, "
        f"Python {machine['python']}, {markers.versions(machine)}. "
        f"`import amssim` takes {record['import_s']:.3f} s."
    )
    return markers.table(headings, rows) + "\n\n" + source


def gpu(record: dict) -> str:
    """Speedups of the GPU benchmark for the layers of Llama-3 and some batches."""
    layers: dict[str, dict[tuple[str, int], str]] = {}
    for r in record["results"]:
        if r["layer"].startswith("Llama-3") and r["batch"] in BATCHES:
            cells = layers.setdefault(f"{r['layer']}, {bench_gpu_tables.size(r)}", {})
            cells[r["scheme"], r["batch"]] = f"{r['cublas_us'] / r['us']:.2f}x"
    columns = list(next(iter(layers.values())))
    headings = ["layer", *(f"{scheme}, batch {batch}" for scheme, batch in columns)]
    rows = [[layer, *(cells[c] for c in columns)] for layer, cells in layers.items()]
    return bench_gpu_tables.with_source(markers.table(headings, rows), record)


def parts() -> dict[str, str]:
    """Every generated part of the document by its marker."""
    tables = {"cpu": cpu(recorded.load("cpu")), "gpu": gpu(recorded.load("gpu_h200"))}
    tables["decode"] = decode_tables.sentence(recorded.load("decode_h200"))
    tables["versions"] = tested_versions.table()
    return tables | simulator_readme.parts()


if __name__ == "__main__":
    markers.main("README.md", parts(), __doc__)
