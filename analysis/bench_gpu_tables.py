"""Fill the tables of docs/KERNELS.md: python analysis/bench_gpu_tables.py [--check]

Record first, on a machine with the GPU:
amssim bench gpu --peers --runs 2 --output analysis/results/gpu_h200.json
"""

from __future__ import annotations

import json

import markers

RESULTS = markers.ROOT / "analysis" / "results"
BATCHES = (1, 2, 4, 8, 16, 32, 64)


def record(gpu: str = "h200") -> dict:
    return json.loads((RESULTS / f"gpu_{gpu}.json").read_text())


def source(found: dict) -> str:
    machine, driver = found["machine"], found.get("driver_us")
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    return (
        f"`{found['command']}`, {machine['gpu']}, CUDA {machine['driver_cuda']}, {versions}; "
        f"device-to-device copy {found['copy_tbps']:.2f} TB/s; "
        f"host {found['host_us']:.1f} us per launch"
        + (f", {driver:.1f} of them in the driver" if driver else "")
        + (f"; {found['note']}." if "note" in found else ".")
    )


def size(r: dict) -> str:
    """The rows and columns of what a record tells of."""
    return "x".join(map(str, r["shape"]))


def speedups(gpu: str = "h200") -> str:
    """Speed-up over the best cuBLAS FP16 product per layer, format and batch."""
    found = record(gpu)
    rows = {}
    for r in found["results"]:
        name = f"{r['layer']} {size(r)}"
        rows.setdefault((name, r["scheme"]), {})[r["batch"]] = r["cublas_us"] / r["us"]
    headings = ["layer", "format", *(f"batch {b}" for b in BATCHES)]
    body = [[*key, *(f"{cells[b]:.2f}" for b in BATCHES)] for key, cells in rows.items()]
    return markers.table(headings, body) + "\n\n" + source(found)


def batches() -> str:
    """Time of a batch over that of one row of activations, layers of 2^26 weights and more."""
    found = record()
    rows = {}
    for r in found["results"]:
        if r["shape"][0] * r["shape"][1] >= 2**26:
            name = f"{r['layer']} {size(r)}"
            rows.setdefault((name, r["scheme"]), {})[r["batch"]] = r["us"]
    headings = ["layer", "format", "batch 1, us", *(f"batch {b}" for b in BATCHES[1:])]
    body = [
        [*key, f"{us[1]:.1f}", *(f"{us[b] / us[1]:.2f}" for b in BATCHES[1:])]
        for key, us in rows.items()
    ]
    return markers.table(headings, body) + "\n\n" + source(found)


def bandwidth() -> str:
    """Time, bandwidth and its share of the copy bandwidth at batch 1, and the dense weights."""
    found = record()
    body = []
    for r in found["results"]:
        if r["batch"] != 1:
            continue
        rows, columns = r["shape"]
        tbps = r["bytes"] / r["us"] / 1e6
        moved = (2 * rows * columns + r["bytes"]) / r["dequantize_us"] / 1e6
        body.append(
            [size(r), r["scheme"], f"{r['bytes'] / 1e6:.0f}", f"{r['us']:.1f}",
             f"{tbps:.2f}", f"{tbps / found['copy_tbps']:.0%}", f"{r['cublas_us']:.1f}",
             f"{r['dequantize_us']:.1f}", f"{moved / found['copy_tbps']:.0%}"]
        )  # fmt: skip
    headings = [
        "layer",
        "format",
        "MB",
        "us",
        "TB/s",
        "of copy",
        "cuBLAS us",
        "dense us",
        "of copy",
    ]
    return markers.table(headings, body) + "\n\n" + source(found)


def peers() -> str:
    """Times of other libraries' products, and how many times as long as ours they take."""
    found = record()
    ours, rows = {}, {}
    for r in found["results"]:
        form = r["scheme"].partition("-")[0]
        ours.setdefault((r["layer"], r["batch"]), {})[form] = r["us"]
    names = [p["peer"] for p in found["peers"] if p["results"]]
    for peer in found["peers"]:
        for r in peer["results"]:
            rows.setdefault((r["layer"], *r["shape"], r["batch"]), {})[peer["peer"]] = r
    body = []
    for (layer, m, k, batch), times in sorted(rows.items(), key=lambda row: row[0][3]):
        own = ours[layer, batch]
        cells = [_beside(times.get(name), own) for name in names]
        body.append(
            [f"{layer} {m}x{k}", batch, f"{own['fp5.33']:.1f}", f"{own['fp4.25']:.1f}", *cells]
        )
    headings = ["layer", "batch", "FP5.33, us", "FP4.25, us", *(f"{n}, us" for n in names)]
    versions = ", ".join(f"{p['peer']} {p['version']}" for p in found["peers"] if p["results"])
    note = f"In brackets: times as long as FP5.33 / FP4.25. {versions}; "
    earlier = [p["peer"] for p in found["peers"] if any("earlier" in r for r in p["results"])]
    if earlier:
        note += f"* of {', '.join(earlier)}: an earlier run, on another GPU of the kind; "
    return markers.table(headings, body) + "\n\n" + note + source(found)


def fp6_llm() -> str:
    """Speed-ups over cuBLAS FP16 of FP6-LLM's kernels, and how many times as fast ours are."""
    figures = json.loads((RESULTS / "simulator_peers.json").read_text())
    ours, rows = {}, {}
    for r in record()["results"]:
        ours.setdefault((*r["shape"], r["batch"]), []).append(r["cublas_us"] / r["us"])
    for r in figures["speedups"]:
        rows.setdefault((*r["shape"], r["batch"]), {})[r["bits"]] = r["speedup"]
    body = []
    for (m, k, batch), theirs in rows.items():
        slower, faster = sorted(ours[m, k, batch])
        cells = [f"{x:.2f} ({slower / x:.2f} / {faster / x:.2f})" for x in (theirs[6], theirs[5])]
        body.append([f"{m}x{k}", batch, *cells])
    note = "In brackets: how many times as fast the slower and the faster of ours are. FP6-LLM: "
    note += f"{figures['kernels']['fp6_llm']}, {figures['method']}."
    return markers.table(["layer", "batch", "FP6", "FP5"], body) + "\n\n" + note


def _beside(theirs: dict | None, own: dict[str, float]) -> str:
    if theirs is None:
        return "-"
    us, mark = theirs["us"], "*" if "earlier" in theirs else ""
    return f"{us:.1f}{mark} ({us / own['fp5.33']:.2f} / {us / own['fp4.25']:.2f})"


def ladder() -> str:
    """The versions of the GEMV, each with its idea and what it brought."""
    found = json.loads((RESULTS / "gpu_ladder.json").read_text())
    shapes = [f"{u['scheme']} {size(u)}" for u in found["ladder"][0]["us"]]
    body = [
        [
            step["idea"],
            " / ".join(f"{v:.2f}" for v in step["instructions_per_weight"].values()),
            " / ".join(str(v) for v in step["registers"].values()),
            *(f"{u['us']:.1f} us, {u['tbps']:.2f}" for u in step["us"]),
        ]
        for step in found["ladder"]
    ]
    headings = ["idea", "instructions per weight", "registers", *(f"{s}, TB/s" for s in shapes)]
    return markers.table(headings, body) + "\n\n" + found["note"] + "."


def steps(change: str) -> str:
    """Products before and after a change of the launches, in one process."""
    found = json.loads((RESULTS / "gpu_steps.json").read_text())
    body = [
        [
            size(r),
            r["scheme"],
            r["batch"],
            r["before"],
            f"{r['before_us']:.1f}",
            r["after"] + ("" if r["kept"] else " (left out)"),
            f"{r['after_us']:.1f}",
        ]
        for r in found[change]
    ]
    headings = ["layer", "format", "batch", "before", "us", "after", "us"]
    return markers.table(headings, body) + f"\n\n{found['machine']['gpu']}: {found['about']}."


if __name__ == "__main__":
    parts = {"ladder": ladder(), "speedups": speedups(), "bandwidth": bandwidth()}
    parts |= {"shapes": steps("shapes"), "last-burst": steps("last burst")}
    parts |= {"batches": batches(), "speedups-h100": speedups("h100")}
    parts["fp6-llm"] = fp6_llm()
    if record().get("peers"):
        parts["peers"] = peers()
    markers.main("docs/KERNELS.md", parts, __doc__)
