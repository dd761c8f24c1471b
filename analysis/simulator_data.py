"""Reads measured latencies and published speedups into the arrays that the simulator fits."""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from amssim import scheme
from amssim.simulator import Measurements

RESULTS = Path(__file__).parent / "results"
LATENCIES = "trtllm_weight_only_latency_ms.csv"
#: Records of `amssim bench gpu`.
GPU_RECORDS = sorted(RESULTS.glob("gpu_h*.json"))
CPU_PRODUCTS = "simulator_cpu.json"
SPEEDUPS = "published_speedups.csv"
#: Smallest side of a layer that is judged: below it every kernel is a launch.
SMALLEST_SIDE = 1024
#: The BF16 tables time a CUDA graph over this many copies of the weights, and on GPUs with a large
#: L2 small ones stay in it (ai-dynamo/aiconfigurator collector/trtllm/collect_gemm.py, repeat_n);
#: the weight-only tables time one run after three layers of 302 MB (collect_gemm_trt.py).
BF16_COPIES = 5

#: The products at 16 bits, as this project measures them and in the TensorRT-LLM tables: two
#: versions of cuBLAS, which differ by up to 13 % on one GPU.
BASELINE, PUBLISHED_BASELINE = "cublas_fp16", "cublas_bf16"
_DEVICES = {
    "H200 SXM": "h200",
    "A100-SXM4-80GB": "a100-80gb",
    "A100": "a100-80gb",
    "A100 (variant not stated)": "a100-80gb",
    "H100 (variant not stated)": "h100-sxm",
    "L40S": "l40s",
    "RTX 4090": "rtx4090",
    "RTX 3090": "rtx3090",
}
#: What drivers call the GPUs of the records.
_DRIVER_NAMES = {
    "NVIDIA H200": "h200",
    "NVIDIA H100 80GB HBM3": "h100-sxm",
    "NVIDIA H100 PCIe": "h100-pcie",
}
_COLUMNS = {
    "bfloat16": (PUBLISHED_BASELINE, 16),
    "int8_wo": ("trtllm_int8", 8),
    "int4_wo": ("trtllm_int4", 4),
}
_PUBLISHED = {
    "TC-FPx FP6 e3m2 W6A16": "fp6_llm",
    "TC-FPx FP5 e2m2 W5A16": "fp6_llm",
    "Marlin-vLLM W4": "marlin",
    "GemLite-Triton W2": "gemlite",
    "GemLite-Triton W4": "gemlite",
    "GemLite-Triton W8": "gemlite",
    "GemLite-Triton W3 (experimental)": "gemlite",
    "GemLite-Triton W5 (experimental)": "gemlite",
}


class Speedups(NamedTuple):
    """Problems with the published ratio of FP16 time to quantised time."""

    problems: Measurements  # its seconds are unknown
    ratio: np.ndarray


def problems(rows: list[tuple], reuse: np.ndarray | float = np.inf) -> Measurements:
    """Build `Measurements` from (rows, columns, batch, bits, seconds) tuples."""
    m, k, b, bits, seconds = np.array(rows, dtype=np.float64).T
    return Measurements(m, k, b, bits, np.broadcast_to(reuse, m.shape), seconds)


def table(path: Path, columns: set[str]) -> list[dict[str, str]]:
    """Return the rows of a public table; without it or a column of it, the script ends."""
    if not path.is_file():
        sys.exit(f"{path} is missing: --data takes the folder of {LATENCIES} and {SPEEDUPS}")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    missing = columns - set(rows[0] if rows else ())
    if missing:
        sys.exit(f"{path} has no column {', '.join(sorted(missing))}: see docs/SIMULATOR.md, Data")
    return rows


def latencies(folder: Path) -> dict[tuple[str, str], Measurements]:
    """Return measurements by (device, kernel) of the TensorRT-LLM tables."""
    rows = defaultdict(list)
    for row in table(folder / LATENCIES, {"gpu", "m", "n", "k", *_COLUMNS}):
        batch, m, k = int(row["m"]), int(row["n"]), int(row["k"])
        if min(m, k) < SMALLEST_SIDE:
            continue
        for column, (kernel, bits) in _COLUMNS.items():
            key = (_DEVICES[row["gpu"]], kernel)
            rows[key].append((m, k, batch, bits, float(row[column]) * 1e-3))
    found = {key: problems(value) for key, value in rows.items()}
    return {
        key: _with_copies(value) if key[1] == PUBLISHED_BASELINE else value
        for key, value in found.items()
    }


def _with_copies(measured: Measurements) -> Measurements:
    weight_bytes = measured.rows * measured.columns * measured.bits / 8
    return measured._replace(reuse_bytes=BF16_COPIES * weight_bytes)


def speedups(folder: Path) -> dict[tuple[str, str], Speedups]:
    """Return published ratios by (device, kernel), for kernels with a descriptor."""
    rows = defaultdict(list)
    columns = {"kernel", "gpu", "M(out)", "K(in)", "batch", "bits_per_weight", "speedup"}
    for row in table(folder / SPEEDUPS, columns):
        kernel, device = _PUBLISHED.get(row["kernel"]), _DEVICES.get(row["gpu"])
        if kernel is None or device is None:
            continue
        shape = (int(row["M(out)"]), int(row["K(in)"]), int(row["batch"]))
        rows[device, kernel].append((*shape, float(row["bits_per_weight"]), float(row["speedup"])))
    return {key: _ratios(value) for key, value in rows.items()}


def _ratios(rows: list[tuple]) -> Speedups:
    found = problems(rows)
    return Speedups(found._replace(seconds=np.full(len(rows), np.nan)), found.seconds)


def own_files() -> list[Path]:
    """Return the project's own measurements."""
    return sorted([*GPU_RECORDS, RESULTS / CPU_PRODUCTS])


def own() -> dict[tuple[str, str], Measurements]:
    """Return measurements by (device, kernel) of the project's own benchmarks, cold caches.

    Of a product that several GPUs of a kind have run, the mean: they differ by 3 %, and one
    product by 12 %.
    """
    times: dict[tuple[str, str], dict] = defaultdict(lambda: defaultdict(list))
    for path in GPU_RECORDS:
        recorded = json.loads(path.read_text())
        device = _DRIVER_NAMES[recorded["machine"]["gpu"]]
        for r in recorded["results"]:
            where = (*r["shape"], r["batch"])
            bits = float(scheme(r["scheme"]).bits)
            if not r.get("plan_changed"):  # since it was recorded: it is of another launch
                times[device, "ams"][(*where, bits)].append(r["us"] * 1e-6)
            times[device, BASELINE][(*where, 16.0)].append(r["cublas_us"] * 1e-6)
    recorded = json.loads((RESULTS / CPU_PRODUCTS).read_text())
    for r in recorded["rows"]:
        where = (r["rows"], r["columns"], r["batch"], r["bits"])
        times[recorded["device"], r["kernel"]][where].append(r["us"] * 1e-6)
    return {
        key: problems([(*where, float(np.mean(s))) for where, s in of.items()])
        for key, of in times.items()
    }


def paired(m: Measurements, baseline: Measurements) -> tuple[Measurements, np.ndarray]:
    """Return the problems whose baseline was measured too, and the measured speedups."""
    keys = zip(baseline.rows, baseline.columns, baseline.batch, strict=True)
    times = dict(zip(keys, baseline.seconds, strict=True))
    found = [times.get(key, np.nan) for key in zip(m.rows, m.columns, m.batch, strict=True)]
    ratio = np.array(found) / m.seconds
    return m.where(np.isfinite(ratio)), ratio[np.isfinite(ratio)]


def peers() -> tuple[dict[tuple[str, str], Measurements], dict[tuple[str, str], Speedups]]:
    """Return latencies and speedups by (device, kernel) that are only judged, never fitted."""
    recorded = json.loads((RESULTS / "simulator_peers.json").read_text())
    rows: dict[tuple[str, str], list] = defaultdict(list)
    ratios: dict[tuple[str, str], list] = defaultdict(list)
    for r in recorded["latencies"]:
        point = (*r["shape"], r["batch"], r["bits"], r["us"] * 1e-6)
        rows[recorded["device"], r["kernel"]].append(point)
    for r in recorded["speedups"]:
        point = (*r["shape"], r["batch"], r["bits"], r["speedup"])
        ratios[recorded["device"], r["kernel"]].append(point)
    latencies_found = {key: problems(value) for key, value in rows.items()}
    return latencies_found, {key: _ratios(value) for key, value in ratios.items()}
