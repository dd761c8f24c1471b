"""Measured speedups over a product at 16 bits, each set over the baseline of its own source."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import simulator_data as data

from amssim.simulator import Measurements


class Ratios(NamedTuple):
    """Quantised problems, the same at 16 bits, and the measured speedups between them."""

    source: str
    narrow: Measurements
    wide: Measurements
    speedup: np.ndarray

    def where(self, chosen: np.ndarray) -> Ratios:
        """Return the chosen ones."""
        narrow, wide = self.narrow.where(chosen), self.wide.where(chosen)
        return Ratios(self.source, narrow, wide, self.speedup[chosen])


def baseline_of(r: Ratios) -> str:
    """Name the product at 16 bits that speedups are over: that of their own source."""
    return data.PUBLISHED_BASELINE if r.source == "aiconfigurator" else data.BASELINE


def published_ratios(folder: Path) -> dict[tuple[str, str], Ratios]:
    """Return published speedups by (device, kernel)."""
    tables = data.latencies(folder)
    found = {}
    for (device, kernel), m in tables.items():
        if kernel != data.PUBLISHED_BASELINE:
            wide = tables[device, data.PUBLISHED_BASELINE]
            found[device, kernel] = Ratios("aiconfigurator", m, wide, wide.seconds / m.seconds)
    for key, s in data.speedups(folder).items():
        wide = s.problems._replace(bits=np.full(s.ratio.size, 16.0))
        found[key] = Ratios("figures of the kernel's authors", s.problems, wide, s.ratio)
    return found


def own_ratios() -> dict[tuple[str, str], Ratios]:
    """Return the project's own speedups by (device, kernel)."""
    own, found = data.own(), {}
    for (device, kernel), m in own.items():
        if kernel != data.BASELINE and (device, data.BASELINE) in own:
            narrow, speedup = data.paired(m, own[device, data.BASELINE])
            seconds_at_16 = speedup * narrow.seconds
            wide = narrow._replace(bits=np.full(speedup.size, 16.0), seconds=seconds_at_16)
            found[device, kernel] = Ratios("amssim", narrow, wide, speedup)
    return found
