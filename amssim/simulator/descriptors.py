"""Kernels as data: tiles, loads in flight, instruction counts, and the fits beside them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from amssim.errors import InputError
from amssim.hardware import Profile
from amssim.launch.geometry import KERNEL_NAMES
from amssim.simulator.equations import product_plan
from amssim.simulator.quantities import DeviceNumbers, KernelNumbers, Load

_KERNELS = Path(__file__).parent / "kernels"
_FITS = Path(__file__).parent / "fits"
_WARP = 32
#: Two spellings of one bit width (5.33 and 16/3) differ by less than this.
SAME_BITS = 0.006
#: The fit for devices that have none of their own.
ANY_DEVICE = "*"


@dataclass(frozen=True)
class HeldOutError:
    """Relative errors on shapes that were not fitted."""

    points: int
    mean: float
    p90: float


@dataclass(frozen=True)
class Variant:
    """One code path of a kernel, for ``min_batch`` to ``max_batch`` rows of x and some bits.

    ``planned`` is the number that our launch plan knows it by, 0 in families that go by batch.
    """

    name: str
    planned: int
    min_batch: int
    max_batch: int
    bits: tuple[float, float]
    structure: dict[str, float]
    warps: int
    registers: int
    shared_bytes: int
    instructions: dict[str, dict[str, float]]
    fits: dict[str, tuple[dict[str, float], HeldOutError | None]]

    def counts(self, bits: float) -> tuple[dict[str, float], bool]:
        """Return instructions per weight at ``bits``, and whether they were counted for it."""
        for spelled, counts in self.instructions.items():
            if spelled != ANY_DEVICE and abs(float(Fraction(spelled)) - bits) < SAME_BITS:
                return counts, True
        return self.instructions[ANY_DEVICE], len(self.instructions) == 1

    def occupancy(self, profile: Profile) -> int:
        """CTAs that one SM holds: the least that warps, registers and shared memory allow."""
        limits = [self.structure["ctas_per_sm"], profile.value("warps_per_sm") // self.warps]
        if self.registers:
            per_cta = self.registers * _WARP * self.warps
            limits.append(profile.value("registers_per_sm") // per_cta)
        if self.shared_bytes:
            limits.append(profile.value("shared_bytes_per_sm") // self.shared_bytes)
        return max(1, int(min(limits)))

    def fit(self, profile: Profile) -> tuple[dict[str, float], HeldOutError | None, bool]:
        """Return (parameters, error, whether they were fitted on this very device)."""
        own = profile.name in self.fits
        parameters, error = self.fits.get(profile.name if own else ANY_DEVICE, ({}, None))
        return parameters, error, own

    def kernel(self, profile: Profile, bits: float) -> KernelNumbers:
        """Return the numbers the equations take, for one device and bit width."""
        return self.unfitted(profile, bits)._replace(**self.fit(profile)[0])

    def unfitted(self, profile: Profile, bits: float) -> KernelNumbers:
        """Return them with every residual parameter at its default."""
        numbers = {**DEFAULTS, **self.structure, **self.counts(bits)[0]}
        if not self.planned:
            numbers["ctas_per_sm"] = float(self.occupancy(profile))
        if profile.capability not in WARPGROUP_RATES:
            numbers["mma_share"] = 1.0
        return KernelNumbers(**numbers)


#: Compute capabilities of GPUs whose datasheet states the rate of instructions that warpgroups
#: issue. What one warp issues (mma.sync) reaches `KernelNumbers.mma_share` of it, elsewhere all.
WARPGROUP_RATES = ("9.0", "10.0", "10.3")
#: Residual parameters of a kernel that nobody has measured, and tiles where our plan cuts.
DEFAULTS = {
    "group": 0.0,
    "tile_rows": 16.0,
    "tile_batch": 64.0,
    "ctas_per_sm": 1.0,
    "inflight_bytes": 0.0,
    "inflight_share": 0.0,
    "max_split": 1.0,
    "early": 0.0,
    "mma_share": 1.0,
    "in_turn": 0.0,
    "issue_per_batch": 0.0,
    "issue_per_x": 0.0,
    "imad": 0.0,
    "half": 0.0,
    "fixed_s": 1e-6,
    "wave_s": 0.0,
    "loop_s": 0.0,
    "stage_s": 0.0,
    "reduce_s": 1.5e-6,
    "efficiency": 1.0,
    "overlap": 4.0,
    "tail": 0.3,
}
#: Numbers that a launch plan has for the kernels that descriptors name; none is another's kernel.
PLANNED = {name: number for number, name in enumerate(KERNEL_NAMES)}


@dataclass(frozen=True)
class Descriptor:
    """A kernel family: its variants, and the bit widths it can read."""

    name: str
    title: str
    source: str
    kind: str
    bits: tuple[float, float]
    variants: tuple[Variant, ...]

    def variant(self, bits: float, batch: float, *, planned: int = 0) -> Variant:
        """Return the variant that runs.

        Args:
            bits: per weight.
            batch: rows of x; the first that reaches them runs, or the last.
            planned: number of the kernel that our launch plan takes, which decides if it is given.
        """
        fitting = [v for v in self.variants if v.bits[0] <= bits <= v.bits[1]]
        if planned:
            return next(v for v in fitting if v.planned == planned)
        return next((v for v in fitting if batch <= v.max_batch), fitting[-1])

    def chosen(self, profile: Profile, load: Load) -> Variant:
        """Return the variant that serves one problem on one device."""
        first = self.variant(load.bits, load.batch)
        if not first.planned:
            return first
        plan = product_plan(device_numbers(profile), first.kernel(profile, load.bits), load)
        return self.variant(load.bits, load.batch, planned=plan.kernel)


@cache
def kernels() -> tuple[str, ...]:
    """Return the names of the known kernels.

    >>> "ams" in kernels() and "cublas_fp16" in kernels()
    True
    """
    return tuple(sorted(path.stem for path in _KERNELS.glob("*.json")))


def descriptor(name: str) -> Descriptor:
    """Return a kernel descriptor by name.

    Raises:
        InputError: no such kernel; the message lists them.
    """
    if name not in kernels():
        raise InputError(f"unknown kernel {name!r}: choose one of {', '.join(kernels())}")
    return _read(name)


def forget() -> None:
    """Read descriptors and fits anew when they are asked for next."""
    _read.cache_clear()


@cache
def _read(name: str) -> Descriptor:
    data = json.loads((_KERNELS / f"{name}.json").read_text())
    fits = _FITS / f"{name}.json"
    fitted = json.loads(fits.read_text())["fits"] if fits.exists() else []
    variants = tuple(_variant(v, fitted) for v in data["variants"])
    low, high = data["bits"]
    return Descriptor(name, data["title"], data["source"], data["kind"], (low, high), variants)


def _variant(data: dict[str, Any], fitted: list[dict[str, Any]]) -> Variant:
    fits = {
        f["device"]: (f["parameters"], HeldOutError(**f["held_out"]) if f["held_out"] else None)
        for f in fitted
        if f["variant"] == data["name"]
    }
    return Variant(
        name=data["name"],
        planned=PLANNED[data.get("planned", "none")],
        min_batch=data.get("min_batch", 1),
        max_batch=data["max_batch"],
        bits=tuple(data.get("bits", (0.0, math.inf))),
        structure={key: float(value) for key, value in data["structure"].items()},
        warps=data.get("warps", 0),
        registers=data.get("registers", 0),
        shared_bytes=data.get("shared_bytes", 0),
        instructions=data["instructions"],
        fits=fits,
    )


def device_numbers(profile: Profile, *, graph: bool = True) -> DeviceNumbers:
    """Return what the equations need to know of a device.

    Args:
        profile: the device.
        graph: whether kernels are launched from a CUDA graph, or one by one.
    """
    v = profile.value
    return DeviceNumbers(
        dram_bytes_per_s=v("dram_bytes_per_s") * v("dram_efficiency"),
        latency_s=v("load_latency_s"),
        l2_bytes=v("l2_bytes") * v("l2_usable"),
        l2_bytes_per_s=v("l2_bytes_per_s"),
        l2_sharpness=v("l2_sharpness"),
        sms=float(v("sms")),
        clock_hz=v("clock_hz"),
        issue_lanes=float(v("issue_lanes")),
        alu_lanes=float(v("alu_lanes")),
        imad_lanes=float(v("imad_lanes")),
        half_lanes=float(v("half_lanes")),
        tensor_flops=float(v("tensor_flops")),
        launch_s=v("launch_graph_s" if graph else "launch_stream_s"),
        shared_bytes=float(v("shared_bytes_per_sm")),
        capability=float(round(10 * float(profile.capability or 0))),
    )
