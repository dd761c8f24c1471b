"""Fit the residual parameters of every kernel descriptor and write amssim/simulator/fits/*.json.

    python analysis/fit_simulator.py --data FOLDER [--kernel NAME ...]

FOLDER holds the public tables (see docs/SIMULATOR.md, "Data"); the project's own measurements are
read from analysis/results. Every second shape is never fitted; the errors
on those are written beside the parameters. Takes about a minute on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simulator_data as data

from amssim.hardware import profile
from amssim.simulator import (
    ANY_DEVICE,
    Fit,
    FitGroup,
    Measurements,
    Variant,
    by_variant,
    descriptor,
    device_numbers,
    fit,
    forget,
    held_out,
    predicted_s,
    seconds,
)

FITS = Path(__file__).parents[1] / "amssim" / "simulator" / "fits"
GEMM = ["fixed_s", "efficiency", "overlap", "loop_s", "reduce_s"]
GEMV = ["fixed_s", "wave_s", "loop_s", "issue", "issue_per_batch", "inflight_bytes"]
#: Instructions per weight are counted; what bringing x costs is not. It is before the main loop of
#: the GEMV, and in that of the others.
OWN = {
    "gemv": ["fixed_s", "overlap", "stage_s", "reduce_s"],
    "gemm": ["fixed_s", "overlap", "issue_per_x", "reduce_s"],
    "warpgroup": ["fixed_s", "overlap", "issue_per_x"],
    "stream": ["fixed_s", "overlap", "issue_per_x", "reduce_s"],
}
#: The share of DRAM's rate is one device's, and not fitted of all. Warpgroups gain nothing by it.
DEVICE_ONLY = {
    "gemv": ["efficiency"],
    "gemm": ["efficiency"],
    "warpgroup": [],
    "stream": ["efficiency"],
}
BLAS = ["fixed_s", "efficiency"]
OWN_CPU = ["fixed_s", "issue"]
#: Every column of x costs a tensor-core kernel instructions, and reads of shared memory.
PER_COLUMN = ["fixed_s", "issue", "issue_per_batch"]
TRT_GEMV = ["fixed_s", "loop_s", "issue_per_batch"]
TRT_GEMM = [*PER_COLUMN, "reduce_s"]
WEIGHT_ONLY = ["fixed_s", "loop_s", "reduce_s", "issue", "inflight_bytes", "efficiency"]


class Spec(NamedTuple):
    """What is fitted of variants: on a device that was measured, and on all of them at once."""

    kernel: str
    variants: tuple[str, ...]  # that share their parameters
    free: list[str]
    pooled: list[str]


#: The pooled fits keep to what carries over between devices: cycles and instruction counts.
SPECS = [
    *(Spec(name, ("gemm",), GEMM, GEMM) for name in (data.BASELINE, data.PUBLISHED_BASELINE)),
    *(Spec(name, ("gemv",), GEMV, TRT_GEMV) for name in ("trtllm_int8", "trtllm_int4")),
    *(Spec(name, ("gemm",), WEIGHT_ONLY, TRT_GEMM) for name in ("trtllm_int8", "trtllm_int4")),
    Spec("fp6_llm", ("gemm",), [*PER_COLUMN, "efficiency", "tail", "overlap"], PER_COLUMN),
    Spec("marlin", ("gemm",), [*PER_COLUMN, "efficiency"], PER_COLUMN),
    Spec("gemlite", ("gemv",), ["fixed_s", "issue"], ["fixed_s", "issue"]),
    Spec("gemlite", ("gemm",), [*PER_COLUMN, "efficiency"], PER_COLUMN),
    *(
        Spec("ams", variants, [*OWN[kind], *DEVICE_ONLY[kind]], OWN[kind])
        for kind in ("gemv", "stream", "warpgroup")
        for variants in [(f"{kind}-fp5.33",), (f"{kind}-fp4.25",)]
    ),
    # the plan leaves it too few products of FP4.25 for a fit of their own
    Spec("ams", ("gemm-fp5.33", "gemm-fp4.25"), [*OWN["gemm"], *DEVICE_ONLY["gemm"]], OWN["gemm"]),
    Spec("blas_f32", ("gemv",), BLAS, BLAS),
    Spec("ams_cpu", ("gemv",), OWN_CPU, OWN_CPU),
]


def measured(folder: Path) -> dict[tuple[str, str], list[Measurements]]:
    """Return data sets by (device, kernel); ratios become times of the predicted baseline.

    On a GPU where this project measured no cuBLAS, that of the published tables stands for it.
    """
    own, found = data.own(), {key: [m] for key, m in data.latencies(folder).items()}
    for (name, kernel), sets in list(found.items()):
        if kernel == data.PUBLISHED_BASELINE and (name, data.BASELINE) not in own:
            found[name, data.BASELINE] = sets
    for (name, kernel), published in data.speedups(folder).items():
        p = published.problems
        baseline = seconds(profile(name), descriptor(data.BASELINE), *p[:3], np.float64(16), np.inf)
        found.setdefault((name, kernel), []).append(p._replace(seconds=baseline / published.ratio))
    for key, m in own.items():
        found.setdefault(key, []).append(m)
    return found


def halves(kernel: str, variant: Variant, name: str, sets: list[Measurements]) -> tuple:
    """Return the groups to fit and those to judge by, of one device and one variant.

    A group has one bit width, or several that share their instruction counts.
    """
    found, p = ([], []), profile(name)
    for every in sets:
        unseen = held_out(every.rows, every.columns)
        for served, bits, here in by_variant(p, descriptor(kernel), *every[:4]):
            for part, half in zip(found, (here & ~unseen, here & unseen), strict=True):
                if served.name == variant.name and half.any():
                    part.append(
                        FitGroup(device_numbers(p), variant.unfitted(p, bits), every.where(half))
                    )
    return found


def errors(parts: list[FitGroup], parameters: dict[str, float]) -> dict | None:
    """Return number, mean and 90th percentile of |predicted / measured - 1|."""
    if not parts:
        return None
    e = np.concatenate([np.abs(predicted_s(g, parameters) / g.measured.seconds - 1) for g in parts])
    return {
        "points": e.size,
        "mean": round(float(e.mean()), 4),
        "p90": round(float(np.quantile(e, 0.9)), 4),
    }


def record(name: str, variant: str, found: Fit, fitted: list[FitGroup], rest: dict | None) -> dict:
    """Return one entry of a fits file."""
    parameters = rounded(found)
    return {
        "device": name,
        "variant": variant,
        "parameters": parameters,
        "fitted": errors(fitted, parameters),
        "held_out": rest,
    }


def rounded(found: Fit) -> dict[str, float]:
    """Return the parameters as they are written: four digits."""
    return {key: float(f"{value:.4g}") for key, value in found.parameters.items()}


def joined(parts: dict[str, list[FitGroup]]) -> list[FitGroup]:
    """Return the groups of all devices in one list, in which every device weighs the same."""
    found = []
    for groups in parts.values():
        points = sum(g.measured.rows.size for g in groups)
        found += [g._replace(weight=1 / points) for g in groups]
    return found


def left_out(free: list[str], fitted: dict, judged: dict) -> dict | None:
    """Return the errors on each device of parameters that were fitted on the others."""
    if len(fitted) < 2:
        return None
    found = []
    for name in judged:
        others = {key: value for key, value in fitted.items() if key != name}
        found.append(errors(judged[name], rounded(fit(joined(others), free))))
    points = sum(e["points"] for e in found)
    mean = sum(e["points"] * e["mean"] for e in found) / points
    return {"points": points, "mean": round(mean, 4), "p90": max(e["p90"] for e in found)}


def fits(spec: Spec, by_device: dict[str, list[Measurements]]) -> Iterator[dict]:
    """Yield the entries of a spec: every device of its own, then all of them pooled."""
    known = {v.name: v for v in descriptor(spec.kernel).variants}
    parts: dict[str, dict[str, tuple]] = {name: {} for name in spec.variants}
    fitted: dict[str, list[FitGroup]] = {}
    for name, sets in by_device.items():
        for variant in spec.variants:
            halved = halves(spec.kernel, known[variant], name, sets)
            if halved[0]:
                parts[variant][name] = halved
                fitted.setdefault(name, []).extend(halved[0])
    for name, groups in fitted.items():
        found = fit(groups, spec.free)
        for variant in spec.variants:
            own, rest = parts[variant].get(name, ([], []))
            if own:
                yield record(name, variant, found, own, errors(rest, rounded(found)))
    if not fitted:
        return
    pooled = fit(joined(fitted), spec.pooled)
    for variant, halved in parts.items():
        own = {name: of for name, (of, _) in halved.items()}
        judged = {name: of + rest for name, (of, rest) in halved.items()}
        strangers = left_out(spec.pooled, fitted, judged)
        yield record(ANY_DEVICE, variant, pooled, joined(own), strangers)


def provenance(folder: Path) -> dict:
    """Return what the parameters were made from."""
    files = [folder / data.LATENCIES, folder / data.SPEEDUPS, *data.own_files()]
    return {
        "command": "python analysis/fit_simulator.py --data FOLDER",
        "held_out": "every second shape in order of size; for device *, every device in turn",
        "sha256": {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files},
    }


def write(kernel: str, entries: list[dict], folder: Path) -> None:
    """Write the fits of one kernel and forget what was read before."""
    text = json.dumps({"provenance": provenance(folder), "fits": entries}, indent=1)
    (FITS / f"{kernel}.json").write_text(text + "\n")
    forget()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the public tables")
    names = dict.fromkeys(spec.kernel for spec in SPECS)
    parser.add_argument("--kernel", action="append", choices=names, help="fit only these kernels")
    args = parser.parse_args()
    for kernel in names:
        if args.kernel and kernel not in args.kernel:
            continue
        tables = measured(args.data)  # anew: published ratios need the fitted baseline
        by_device = {name: m for (name, of), m in tables.items() if of == kernel}
        entries = [e for s in SPECS if s.kernel == kernel for e in fits(s, by_device)]
        write(kernel, entries, args.data)
        for e in entries:
            print(kernel, e["variant"], e["device"], e["parameters"], e["fitted"], e["held_out"])


if __name__ == "__main__":
    main()
