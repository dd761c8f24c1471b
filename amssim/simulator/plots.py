"""Four figures: roofline with pipe ceilings, layer size, batch crossover, instruction budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from amssim.errors import OutputError
from amssim.hardware import Profile, profile
from amssim.simulator.descriptors import device_numbers
from amssim.simulator.inputs import DEFAULT_KERNELS, DEFAULT_SHAPE
from amssim.simulator.inverse import instruction_budget
from amssim.simulator.quantities import DeviceNumbers
from amssim.simulator.sweeps import sweep

#: Colour-blind safe, one per series in this order (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
BITS = (16 / 3, 17 / 4)
_BATCHES = list(range(1, 65))
_COLUMNS = 4096
_PIPES = {"issue": "all instructions", "alu": "ALU", "imad": "IMAD"}
_BUDGET_DEVICES = ("h200", "b200", "h100-sxm", "a100-80gb", "rtx3090", "a10", "rtx4090", "l40s")


def draw_all(folder: Path, device: str | Path | Profile = "h200") -> list[Path]:
    """Write roofline.png, layer_size.png, batch.png and budget.png; return their paths.

    Raises:
        OutputError: the folder cannot be written.
    """
    paths = []
    for name, figure in figures(device).items():
        path = Path(folder) / f"{name}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=130)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from None
        paths.append(path)
    return paths


def figures(device: str | Path | Profile = "h200") -> dict[str, Any]:
    """Return the four Matplotlib figures for one device by name."""
    known = profile(device)
    drawn = {
        "roofline": draw_roofline,
        "layer_size": draw_layer_size,
        "batch": draw_batch,
        "budget": draw_budget,
    }
    return {name: draw(known) for name, draw in drawn.items()}


def _axes(title: str, x: str, y: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _name(bits: float) -> str:
    return f"{bits:.4g} bits"


def draw_roofline(device: Profile) -> Any:
    """Weights per second against bits: DRAM, and what each pipe of our kernel allows."""
    d = device_numbers(device)
    bits = np.linspace(2, 16, 200)
    figure, axes = _axes(
        f"What limits weights per second on {device.title}, batch 1",
        "bits per weight",
        "10$^{12}$ weights per second",
    )
    axes.plot(bits, d.dram_bytes_per_s * 8 / bits / 1e12, color="black", label="DRAM")
    for width, colour in zip(BITS, COLOURS, strict=False):
        spent = instruction_budget(width, device=device).spent
        ceilings = _ceilings(d, spent)
        highest = max(ceilings.values())
        for (pipe, rate), style in zip(ceilings.items(), ("-", "--", ":"), strict=True):
            axes.axhline(
                rate / 1e12, color=colour, linestyle=style, lw=1, label=f"{_name(width)}: {pipe}"
            )
        axes.axvline(width, color=colour, lw=0.8, alpha=0.5)
    table = sweep(list(BITS), device=device)
    weights = DEFAULT_SHAPE[0] * DEFAULT_SHAPE[1]
    axes.plot(
        BITS,
        weights / table.seconds.ravel() / 1e12,
        "o",
        color="black",
        label="predicted, {} x {}".format(*DEFAULT_SHAPE),
    )
    axes.set_yscale("log")
    ticks = [1, 2, 5, 10, 20, 50, 100, 200]
    axes.set_yticks(ticks, map(str, ticks))
    axes.set_yticks([], minor=True)
    axes.set_ylim(1, 2 * max(d.dram_bytes_per_s * 8 / 2, highest) / 1e12)
    figure.legend(loc="outside lower center", fontsize=8, frameon=False, ncols=3)
    return figure


def _ceilings(d: DeviceNumbers, spent: dict[str, float]) -> dict[str, float]:
    """Weights per second that each pipe allows a kernel that spends so much per weight."""
    lanes = {"issue": d.issue_lanes, "alu": d.alu_lanes, "imad": d.imad_lanes}
    return {
        _PIPES[pipe]: lanes[pipe] * d.sms * d.clock_hz / max(spent[pipe], 1e-3) for pipe in _PIPES
    }


def draw_layer_size(device: Profile) -> Any:
    """Speedup against the number of weights: launch-bound, then memory-bound."""
    rows = np.unique(np.geomspace(256, 262144, 60).astype(int) // 16 * 16)
    table = sweep(list(BITS), device=device, shape=[(int(m), _COLUMNS) for m in rows])
    figure, axes = _axes(
        f"Speedup of a layer with {_COLUMNS} columns on {device.title}, batch 1",
        "weights in the layer",
        f"times faster than {DEFAULT_KERNELS[device.kind][1]}",
    )
    for i, (width, colour) in enumerate(zip(BITS, COLOURS, strict=False)):
        axes.plot(rows * _COLUMNS, table.speedup[0, :, 0, i], color=colour, label=_name(width))
        axes.axhline(
            16 / width, color=colour, linestyle=":", lw=1, label=f"ratio of bits, {16 / width:.2f}"
        )
    axes.axhline(1, color="black", lw=0.8)
    axes.set_xscale("log")
    axes.set_ylim(0)
    axes.legend(frameon=False)
    return figure


def draw_batch(device: Profile) -> Any:
    """Speedup against batch, down to where the gain ends."""
    table = sweep(list(BITS), device=device, batch=_BATCHES)
    figure, axes = _axes(
        "Speedup of {} x {} on {}".format(*DEFAULT_SHAPE, device.title),
        "batch",
        f"times faster than {DEFAULT_KERNELS[device.kind][1]}",
    )
    for i, (width, colour) in enumerate(zip(BITS, COLOURS, strict=False)):
        axes.plot(_BATCHES, table.speedup[0, 0, :, i], color=colour, label=_name(width))
    axes.axhline(1, color="black", lw=0.8)
    axes.set_ylim(0)
    axes.legend(frameon=False)
    return figure


def draw_budget(device: Profile) -> Any:
    """ALU instructions per weight that each GPU has time for, and what our kernels spend."""
    every = dict.fromkeys((device.name, *_BUDGET_DEVICES))
    devices = [device if name == device.name else profile(name) for name in every]
    devices = [d for d in devices if d.kind == device.kind]
    figure, axes = _axes(
        "Logic and shift instructions that a kernel may spend before memory stops being the limit",
        "",
        "instructions per weight",
    )
    at = np.arange(len(devices))
    for i, (width, colour) in enumerate(zip(BITS, COLOURS, strict=False)):
        budgets = [instruction_budget(width, device=d) for d in devices]
        allowed = [b.allowed["alu"] for b in budgets]
        bars = axes.bar(
            at + 0.4 * (i - 0.5), allowed, 0.36, color=colour, label=f"time for, {_name(width)}"
        )
        axes.bar_label(bars, fmt="%.1f", fontsize=7)
        spent = budgets[0].spent["alu"]
        axes.axhline(
            spent,
            color=colour,
            linestyle="--",
            lw=1,
            label=f"{budgets[0].question.kernel.name} spends {spent:.2f} at {_name(width)}",
        )
    axes.set_xticks(at, [d.name for d in devices], rotation=30, ha="right", fontsize=8)
    axes.legend(frameon=False, fontsize=8)
    return figure
