"""The demo's figure: what each format does to real weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amssim.bench.demo import arrays_of, packed_of
from amssim.figures import BLUE, RED, figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = (BLUE, RED)
_BINS = 241


def draw_demo(record: dict[str, Any], weights: Path, target: Path) -> None:
    """Save the error densities and the SQNR per tensor of a record of `run_demo`."""
    with style():
        drawn, (density, bars) = figure(2)
        originals = arrays_of(weights)
        for color, (name, figures) in zip(_COLORS, record["schemes"].items(), strict=True):
            _draw_density(density, originals, name, figures, color)
        _draw_bars(bars, record["schemes"])
        drawn.suptitle("Reconstruction error of real weights")
        drawn.savefig(target)


def _draw_density(
    axes: Axes, originals: dict[str, np.ndarray], name: str, figures: dict[str, Any], color: str
) -> None:
    restored = packed_of(Path(figures["path"]))
    errors = [_relative_error(originals[t], packed.dequantize()) for t, packed in restored.items()]
    axes.hist(
        np.concatenate(errors),
        bins=np.linspace(-0.6, 0.6, _BINS).tolist(),
        density=True,
        histtype="step",
        color=color,
        label=f"{name}, {figures['total']['sqnr_db']:.1f} dB",
    )
    axes.set(
        yscale="log",
        ylim=(1e-4, 1e2),  # room for the legend above the peak
        xlabel="error / standard deviation of the tensor's weights",
        ylabel="density",
    )
    axes.legend()


def _relative_error(original: np.ndarray, restored: np.ndarray) -> np.ndarray:
    weights = original.astype(np.float32)
    return np.ravel((restored - weights) / weights.std())


def _draw_bars(axes: Axes, schemes: dict[str, Any]) -> None:
    width = 0.8 / len(schemes)
    for i, (color, figures) in enumerate(zip(_COLORS, schemes.values(), strict=True)):
        names = sorted(figures["tensors"])
        positions = np.arange(len(names)) + (i - (len(schemes) - 1) / 2) * width
        heights = [figures["tensors"][n]["sqnr_db"] for n in names]
        bars = axes.bar(positions, heights, width, color=color)
        axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.set_xticks(range(len(names)), [n.split(".")[-2] for n in names], fontsize=8)
    axes.set(ylabel="SQNR, dB")
    axes.margins(y=0.1)
