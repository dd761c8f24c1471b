"""Fill the tables of docs/KERNELS.md: python analysis/bench_gpu_tables.py [--check]

Record first, on a machine with the GPU:
amssim bench gpu --peers --runs 2 --output analysis/results/gpu_h200.json
"""

from __future__ import annotations

import markers
import recorded

BATCHES = (1, 2, 4, 8, 16, 32, 64)
#: Layers of fewer weights are left out where batches are compared.
LARGE = 2**26


def source(record: dict) -> str:
    """Where a record's figures come from, as a sentence under a table."""
    machine, driver_us = record["machine"], record.get("driver_us")
    return (
        f"`{record['command']}`, {machine['gpu']}, CUDA {machine['driver_cuda']}, "
        f"{markers.versions(machine)}; "
        f"device-to-device copy {record['copy_tbps']:.2f} TB/s; "
        f"host {record['host_us']:.1f} us per launch"
        + (f", {driver_us:.1f} of them in the driver" if driver_us else "")
        + (f"; {record['note']}." if "note" in record else ".")
    )


def size(result: dict) -> str:
    """The rows and columns of what a result tells of."""
    return "x".join(map(str, result["shape"]))


def with_source(table: str, record: dict) -> str:
    return f"{table}\n\n{source(record)}"


def by_layer(results: list[dict]) -> dict[tuple[str, str], dict[int, dict]]:
    """Results by layer and format, and then by batch."""
    layers: dict[tuple[str, str], dict[int, dict]] = {}
    for r in results:
        layers.setdefault((f"{r['layer']} {size(r)}", r["scheme"]), {})[r["batch"]] = r
    return layers


def speedups(record: dict) -> str:
    """Speed-up over the best cuBLAS FP16 product per layer, format and batch."""
    headings = ["layer", "format", *(f"batch {b}" for b in BATCHES)]
    rows = [
        [*key, *(f"{batches[b]['cublas_us'] / batches[b]['us']:.2f}" for b in BATCHES)]
        for key, batches in by_layer(record["results"]).items()
    ]
    return with_source(markers.table(headings, rows), record)


def batches(record: dict) -> str:
    """Time of a batch over that of one row of activations, in large layers."""
    large = [r for r in record["results"] if r["shape"][0] * r["shape"][1] >= LARGE]
    headings = ["layer", "format", "batch 1, us", *(f"batch {b}" for b in BATCHES[1:])]
    rows = []
    for key, of in by_layer(large).items():
        one_us = of[1]["us"]
        rows.append([*key, f"{one_us:.1f}", *(f"{of[b]['us'] / one_us:.2f}" for b in BATCHES[1:])])
    return with_source(markers.table(headings, rows), record)


def bandwidth(record: dict) -> str:
    """Time, bandwidth and its share of the copy bandwidth at batch 1, and the dense weights."""
    headings = ["layer", "format", "MB", "us", "TB/s", "of copy"]
    headings += ["cuBLAS us", "dense us", "of copy"]
    rows = [_bandwidth(r, record["copy_tbps"]) for r in record["results"] if r["batch"] == 1]
    return with_source(markers.table(headings, rows), record)


def _bandwidth(result: dict, copy_tbps: float) -> list[str]:
    nbytes, us, dense_us = result["bytes"], result["us"], result["dequantize_us"]
    tbps = nbytes / us / 1e6
    rows, columns = result["shape"]
    dense_tbps = (2 * rows * columns + nbytes) / dense_us / 1e6
    cells = [size(result), result["scheme"], f"{nbytes / 1e6:.0f}", f"{us:.1f}", f"{tbps:.2f}"]
    cells += [f"{tbps / copy_tbps:.0%}", f"{result['cublas_us']:.1f}", f"{dense_us:.1f}"]
    return [*cells, f"{dense_tbps / copy_tbps:.0%}"]


def peers(record: dict) -> str:
    """Times of other libraries' products, and how many times as long as ours they take."""
    measured = [peer for peer in record["peers"] if peer["results"]]
    ours: dict[tuple[str, int], dict[str, float]] = {}
    for r in record["results"]:
        form = r["scheme"].partition("-")[0]
        ours.setdefault((r["layer"], r["batch"]), {})[form] = r["us"]
    theirs: dict[tuple[str, str, int], dict[str, dict]] = {}
    for peer in measured:
        for r in peer["results"]:
            theirs.setdefault((r["layer"], size(r), r["batch"]), {})[peer["peer"]] = r
    rows = []
    for (layer, shape, batch), of in sorted(theirs.items(), key=lambda row: row[0][2]):
        own = ours[layer, batch]
        cells = [_beside(of.get(peer["peer"]), own) for peer in measured]
        own_us = [f"{own['fp5.33']:.1f}", f"{own['fp4.25']:.1f}"]
        rows.append([f"{layer} {shape}", batch, *own_us, *cells])
    headings = ["layer", "batch", "FP5.33, us", "FP4.25, us"]
    headings += [f"{peer['peer']}, us" for peer in measured]
    return f"{markers.table(headings, rows)}\n\n{_about(measured)}{source(record)}"


def _beside(theirs: dict | None, own: dict[str, float]) -> str:
    if theirs is None:
        return "-"
    us, mark = theirs["us"], "*" if "earlier" in theirs else ""
    return f"{us:.1f}{mark} ({us / own['fp5.33']:.2f} / {us / own['fp4.25']:.2f})"


def _about(peers: list[dict]) -> str:
    versions = ", ".join(f"{peer['peer']} {peer['version']}" for peer in peers)
    note = f"In brackets: times as long as FP5.33 / FP4.25. {versions}; "
    earlier = [peer["peer"] for peer in peers if any("earlier" in r for r in peer["results"])]
    if earlier:
        note += f"* of {', '.join(earlier)}: an earlier run, on another GPU of the kind; "
    return note


def fp6_llm(published: dict, record: dict) -> str:
    """Speed-ups over cuBLAS FP16 of FP6-LLM's kernels, and how many times as fast ours are."""
    ours: dict[tuple, list[float]] = {}
    for r in record["results"]:
        ours.setdefault((*r["shape"], r["batch"]), []).append(r["cublas_us"] / r["us"])
    theirs: dict[tuple, dict[int, float]] = {}
    for r in published["speedups"]:
        theirs.setdefault((*r["shape"], r["batch"]), {})[r["bits"]] = r["speedup"]
    rows = []
    for (m, k, batch), speedup in theirs.items():
        slower, faster = sorted(ours[m, k, batch])
        both = (speedup[6], speedup[5])
        cells = [f"{x:.2f} ({slower / x:.2f} / {faster / x:.2f})" for x in both]
        rows.append([f"{m}x{k}", batch, *cells])
    note = "In brackets: how many times as fast the slower and the faster of ours are. FP6-LLM: "
    note += f"{published['kernels']['fp6_llm']}, {published['method']}."
    return markers.table(["layer", "batch", "FP6", "FP5"], rows) + "\n\n" + note


def ladder(record: dict) -> str:
    """The versions of the GEMV, each with its idea and what it brought."""
    shapes = [f"{u['scheme']} {size(u)}" for u in record["ladder"][0]["us"]]
    headings = ["idea", "instructions per weight", "registers", *(f"{s}, TB/s" for s in shapes)]
    rows = [
        [
            step["idea"],
            " / ".join(f"{v:.2f}" for v in step["instructions_per_weight"].values()),
            " / ".join(str(v) for v in step["registers"].values()),
            *(f"{u['us']:.1f} us, {u['tbps']:.2f}" for u in step["us"]),
        ]
        for step in record["ladder"]
    ]
    return f"{markers.table(headings, rows)}\n\n{record['note']}."


def steps(record: dict, change: str) -> str:
    """Products before and after a change of the launches, in one process."""
    headings = ["layer", "format", "batch", "before", "us", "after", "us"]
    rows = []
    for r in record[change]:
        after = r["after"] + ("" if r["kept"] else " (left out)")
        cells = [size(r), r["scheme"], r["batch"], r["before"], f"{r['before_us']:.1f}", after]
        rows.append([*cells, f"{r['after_us']:.1f}"])
    return f"{markers.table(headings, rows)}\n\n{record['machine']['gpu']}: {record['about']}."


def parts() -> dict[str, str]:
    """Every generated part of the document by its marker."""
    record, changes = recorded.load("gpu_h200"), recorded.load("gpu_steps")
    tables = {"ladder": ladder(recorded.load("gpu_ladder")), "speedups": speedups(record)}
    tables |= {"bandwidth": bandwidth(record), "batches": batches(record)}
    tables |= {"shapes": steps(changes, "shapes"), "last-burst": steps(changes, "last burst")}
    tables["speedups-h100"] = speedups(recorded.load("gpu_h100"))
    tables["fp6-llm"] = fp6_llm(recorded.load("simulator_peers"), record)
    if record.get("peers"):
        tables["peers"] = peers(record)
    return tables


if __name__ == "__main__":
    markers.main("docs/KERNELS.md", parts(), __doc__)
