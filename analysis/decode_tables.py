"""Fill the tables of docs/MODELS.md: python analysis/decode_tables.py [--check]

Record first, on a machine with the GPU:
amssim bench decode llama-3.1-8b --batches 1,8 --output analysis/results/decode_h200.json
"""

from __future__ import annotations

import markers
import recorded

PARTS = ("products", "head", "attention", "norms and activations", "other", "gaps")


def shown(result: dict, name: str, digits: int) -> str:
    """A figure of a result, nothing where it has none."""
    return f"{result[name]:.{digits}f}" if name in result else ""


def source(record: dict) -> str:
    """Where the figures come from, as a sentence under the table."""
    machine, plan = record["machine"], record["plan"]
    return (
        f"{record['model']}, context {plan['context']} and {plan['tokens']} steps timed together; "
        f"{machine['gpu']}, CUDA {machine['driver_cuda']}, {markers.versions(machine)}; "
        f"{record['note']}."
    )


def speeds(record: dict) -> str:
    """Tokens per second of each variant."""
    headings = ["variant", "batch", "tokens/s", "ms per step", "predicted ms", "x best FP16"]
    headings += ["first token of 512, ms", "the same in a graph, ms", "memory, GB"]
    rows = [
        [
            f"`{r['variant']}`",
            r["batch"],
            shown(r, "tokens_per_s", 0),
            shown(r, "ms", 3),
            shown(r, "predicted_ms", 3),
            shown(r, "speedup", 2),
            shown(r, "first_token_ms", 1),
            shown(r, "first_token_graph_ms", 1),
            f"{r['memory_bytes'] / 1e9:.2f}",
        ]
        for r in record["results"]
    ]
    return f"{markers.table(headings, rows)}\n\n{source(record)}"


def parts(record: dict) -> str:
    """Microseconds of a step by part, with the number of launches."""
    rows = []
    for r in record["results"]:
        cells = (r["parts"][part] for part in PARTS)
        times = [
            f"{c['us']:.0f}" + (f" ({c['launches']:.0f})" * bool(c["launches"])) for c in cells
        ]
        rows.append([f"`{r['variant']}`", r["batch"], *times])
    return markers.table(["variant", "batch", *PARTS], rows)


def sentence(record: dict) -> str:
    """What whole steps of a model gain, for a reader of one sentence."""
    packed = [r for r in record["results"] if r["scheme"] and "head" in r["variant"]]
    gains = ", ".join(
        f"{r['scheme'].split('-')[0].upper()} at batch {r['batch']} "
        f"{r['tokens_per_s']:.0f} tokens/s, {r['speedup']:.2f}x"
        for r in packed
    )
    machine = record["machine"]["gpu"]
    return (
        f"A whole decoding step, compiled, against the best FP16 of the same run "
        f"(`amssim bench decode {record['model']}`, {machine}): {gains}."
    )


if __name__ == "__main__":
    found = recorded.load("decode_h200")
    tables = {"decode speeds": speeds(found), "decode parts": parts(found)}
    markers.main("docs/MODELS.md", tables, __doc__)
