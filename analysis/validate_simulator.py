"""Judge the simulator on data it was not fitted to.

    python analysis/validate_simulator.py --data FOLDER

Writes analysis/results/simulator_validation.json: errors on held-out shapes and on GPUs left out,
beside 16/bits, a plain roofline and the constants form. FOLDER holds the public tables; the
project's own measurements are read from analysis/results.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import fit_simulator as fitting
import numpy as np
import simulator_data as data
from simulator_ratios import Ratios, baseline_of, own_ratios, published_ratios

from amssim.bench import Timer, cpu_s
from amssim.hardware import profile
from amssim.simulator import (
    BASELINES,
    Measurements,
    by_variant,
    descriptor,
    fit,
    held_out,
    seconds,
    sweep,
)

OUTPUT = Path(__file__).parent / "results" / "simulator_validation.json"
#: A winner is clear where the measured ratio is this far from 1.
CLEAR = 0.1
HELD_OUT, UNSEEN = "held-out shapes", "device never calibrated"
ONE_PATH = "held-out shapes of one code path"
GEMV_BATCH = 8
#: Bounds of the classes by which a leaning is told: weights of the layer, rows of x.
SIZES, BATCHES = (0, 2**23, 2**25, 2**40), (1, 9, 65)
OWN_GATE = {"mean": 0.05, "p90": 0.10}
UNSEEN_GATE = {"mean": 0.15, "winner": 0.97}
LATENCY_GATES = {"h200": {"mean": 0.06}, "a100-80gb": {"mean": 0.06}}
RATIO_GATES = {
    ("a100-80gb", "fp6_llm", 6): {"mean": 0.06},
    ("a100-80gb", "fp6_llm", 5): {"mean": 0.07},
    ("h200", "trtllm_int8", 8): {"mean": 0.10},
    ("h200", "trtllm_int4", 4): {"mean": 0.10},
}
Predictor = Callable[[Measurements], np.ndarray]


def shipped(device: str, kernel: str, m: Measurements) -> np.ndarray:
    """Predict with the parameters of the package."""
    return seconds(profile(device), descriptor(kernel), *m[:5])


def simple(name: str, device: str, m: Measurements) -> np.ndarray:
    """Predict with one of the simple models."""
    return BASELINES[name](profile(device), *m[:4])


def elsewhere(device: str, kernel: str, by_device: dict[str, list[Measurements]]) -> dict:
    """Return parameters by variant, fitted on every other device where one has measured it."""
    family, found = descriptor(kernel), {}
    for spec in (s for s in fitting.SPECS if s.kernel == kernel):
        several = [v for v in family.variants if v.name in spec.variants]
        others = {
            name: [g for v in several for g in fitting.halves(kernel, v, name, sets)[0]]
            for name, sets in by_device.items()
            if name != device
        }
        if groups := fitting.joined({k: v for k, v in others.items() if v}):
            found |= dict.fromkeys(spec.variants, fit(groups, spec.pooled).parameters)
    return found


def with_parameters(device: str, kernel: str, found: dict) -> Predictor:
    """Return the model of one kernel on one device with parameters by variant."""
    family = descriptor(kernel)

    def numbers(variant, bits):
        return variant.unfitted(profile(device), bits)._replace(**found.get(variant.name, {}))

    return lambda m: seconds(profile(device), family, *m[:5], kernel_of=numbers)


def errors(predicted: np.ndarray, measured: np.ndarray) -> dict:
    """Return mean, 90th percentile and, for ratios, the share of clear cases called right."""
    e = np.abs(predicted / measured - 1)
    return {"mean": float(e.mean()), "p90": float(np.quantile(e, 0.9))}


def winners(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Share of the clear cases in which the faster side is called right."""
    clear = np.abs(measured - 1) > CLEAR
    return float(((predicted > 1) == (measured > 1))[clear].mean()) if clear.any() else 1.0


def row(what: dict, measured: np.ndarray, predicted: np.ndarray, others: dict, gate: dict) -> dict:
    """Return one line of the table; ``others`` are the simple models' predictions."""
    found = errors(predicted, measured)
    if what["quantity"] == "speedup":
        found["winner"] = winners(predicted, measured)
    beaten = {name: errors(p, measured)["mean"] for name, p in others.items()}
    met = all(found[k] >= v if k == "winner" else found[k] <= v for k, v in gate.items())
    best = all(found["mean"] < e for e in beaten.values())
    return {
        **what,
        "points": int(measured.size),
        **found,
        "baselines": beaten,
        "gate": gate,
        "met": met if gate else None,
        "best": best,
    }


def latency_row(
    source: str, key: tuple[str, str], judged: str, unseen: Measurements, gate: dict
) -> dict:
    """Judge latencies of problems that were not fitted."""
    device, kernel = key
    what = {"source": source, "device": device, "kernel": kernel, "judged": judged}
    what |= {"bits": sorted(set(unseen.bits.tolist())), "quantity": "latency"}
    what["batch"] = [int(unseen.batch.min()), int(unseen.batch.max())]
    others = {name: simple(name, device, unseen) for name in BASELINES}
    return row(what, unseen.seconds, shipped(device, kernel, unseen), others, gate)


def ratios(device: str, fp16: Predictor, quantized: Predictor, r: Ratios) -> dict:
    """Return the predicted speedups of the model and of the simple ones."""
    wide, m = r.wide, r.narrow
    found = {"ours": fp16(wide) / quantized(m)}
    for name in BASELINES:
        found[name] = simple(name, device, wide) / simple(name, device, m)
    return found


def ratio_row(key: tuple, judged: str, models: tuple, r: Ratios, gate: dict) -> dict:
    """Judge speedups with the given models of both sides."""
    what = {"source": r.source, "device": key[0], "kernel": key[1], "judged": judged}
    what |= {"bits": sorted(set(r.narrow.bits.tolist())), "quantity": "speedup"}
    what["batch"] = [int(r.narrow.batch.min()), int(r.narrow.batch.max())]
    found = ratios(key[0], *models, r)
    return row(what, r.speedup, found.pop("ours"), found, gate)


def leanings(models: tuple, r: Ratios) -> list[dict]:
    """Mean of predicted / measured - 1 of both sides' times, by weights and by rows of x."""
    sides = {"baseline": (models[0], r.wide), "kernel": (models[1], r.narrow)}
    ratio = {name: predict(m) / m.seconds - 1 for name, (predict, m) in sides.items()}
    weights, batch = r.narrow.rows * r.narrow.columns, r.narrow.batch
    found = []
    for low, high in pairwise(SIZES):
        for few, many in pairwise(BATCHES):
            here = (low <= weights) & (weights < high) & (few <= batch) & (batch < many)
            if here.any():
                means = {name: float(e[here].mean()) for name, e in ratio.items()}
                found.append({"weights": [low, high], "batch": [few, many - 1], **means})
    return found


def models_of(device: str, kernel: str, r: Ratios) -> tuple[Predictor, Predictor]:
    """Return the shipped models of the baseline and of a kernel."""
    return partial(shipped, device, baseline_of(r)), partial(shipped, device, kernel)


def held_out_rows(folder: Path) -> Iterator[dict]:
    """Yield the lines about shapes that were not fitted."""
    for (device, kernel), m in data.latencies(folder).items():
        if kernel == data.PUBLISHED_BASELINE:
            unseen, gate = m.where(held_out(m.rows, m.columns)), LATENCY_GATES.get(device, {})
            yield latency_row("aiconfigurator", (device, kernel), HELD_OUT, unseen, gate)
    for key, r in published_ratios(folder).items():
        for bits in np.unique(r.narrow.bits):
            chosen = held_out(r.narrow.rows, r.narrow.columns) & (r.narrow.bits == bits)
            gate = RATIO_GATES.get((*key, bits), {})
            yield ratio_row(key, HELD_OUT, models_of(*key, r), r.where(chosen), gate)


def unseen_device_rows(folder: Path) -> Iterator[dict]:
    """Yield the lines about devices none of whose measurements were fitted.

    Left out is what a variant serves that no other device has measured.
    """
    tables = fitting.measured(folder)
    by_kernel = {}
    for (device, kernel), sets in tables.items():
        by_kernel.setdefault(kernel, {})[device] = sets
    for key, r in (published_ratios(folder) | own_ratios()).items():
        if len(by_kernel[key[1]]) > 1:
            both = (baseline_of(r), key[1])
            fitted = {k: elsewhere(key[0], k, by_kernel[k]) for k in both}
            chosen = np.zeros(r.speedup.size, bool)
            parts = by_variant(profile(key[0]), descriptor(key[1]), *r.narrow[:4])
            for variant, _, here in parts:
                chosen |= here & (variant.name in fitted[key[1]])
            r, models = r.where(chosen), tuple(with_parameters(key[0], k, fitted[k]) for k in both)
            found = ratio_row(key, UNSEEN, models, r, UNSEEN_GATE)
            if r.source == "aiconfigurator":
                found["leanings"] = leanings(models, r)
            yield found


def own_rows() -> Iterator[dict]:
    """Yield the lines about the project's own measurements."""
    own = data.own()
    parts = [(HELD_OUT, *item) for item in own.items()]
    for judged, key, m in (*parts, *_by_path(own)):
        unseen = m.where(held_out(m.rows, m.columns))
        gate = OWN_GATE if profile(key[0]).kind == "gpu" else {}
        yield latency_row("amssim", key, judged, unseen, gate)
    for key, every in own_ratios().items():
        r = every.where(held_out(every.narrow.rows, every.narrow.columns))
        yield ratio_row(key, HELD_OUT, models_of(*key, r), r, OWN_GATE)


def _by_path(own: dict) -> Iterator[tuple[str, tuple[str, str], Measurements]]:
    """Yield our kernels' measurements by code path: GEMV to batch 8, GEMM above."""
    for key, m in own.items():
        if key[1] == "ams":
            yield ONE_PATH, key, m.where(m.batch <= GEMV_BATCH)
            yield ONE_PATH, key, m.where(m.batch > GEMV_BATCH)


def peer_rows() -> Iterator[dict]:
    """Yield the lines about figures that nothing is fitted to."""
    latencies, speedups = data.peers()
    for key, m in latencies.items():
        yield latency_row("prototype", key, "kernel never fitted", m, {})
    for key, s in speedups.items():
        wide = s.problems._replace(bits=np.full(s.ratio.size, 16.0))
        r = Ratios("measured for this project", s.problems, wide, s.ratio)
        yield ratio_row(key, UNSEEN, models_of(*key, r), r, UNSEEN_GATE)


def fits_digest() -> str:
    """Checksum of the parameters that were judged."""
    files = sorted(fitting.FITS.glob("*.json"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def million_s() -> float:
    """Least CPU seconds of a sweep of a million speedups, compiled before."""
    grid = {"batch": list(range(1, 101)), "shape": [(128 * m, 4096) for m in range(1, 101)]}
    sweep([4.25, 5.33], batch=[1, 16])
    timer = Timer(cpu_s, repeats=3, budget_s=0)
    return timer.least_s(lambda: sweep(np.linspace(2, 16, 100), **grid))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the public tables")
    args = parser.parse_args()
    rows = [*own_rows(), *peer_rows(), *held_out_rows(args.data)]
    rows += unseen_device_rows(args.data)
    record = {
        "command": "python analysis/validate_simulator.py --data FOLDER",
        "provenance": fitting.provenance(args.data),
        "fits_sha256": fits_digest(),
        "million_predictions_s": round(million_s(), 2),
        "rows": rows,
    }
    OUTPUT.write_text(json.dumps(record, indent=1) + "\n")
    for r in rows:
        what = (r["source"], r["device"], r["kernel"], r["judged"])
        print(
            *what, f"{r['mean']:.1%}", f"p90 {r['p90']:.1%}", f"met {r['met']}", f"best {r['best']}"
        )


if __name__ == "__main__":
    main()
