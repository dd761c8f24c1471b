"""Checks of what users ask: each returns the value in the form the model takes, or one sentence."""

from __future__ import annotations

import math
import sys
from collections.abc import Sized
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, cast

from amssim.errors import InputError, SchemeError
from amssim.hardware import Profile, profile
from amssim.scheme import Scheme, scheme
from amssim.simulator.descriptors import Descriptor, descriptor, kernels
from amssim.simulator.quantities import Load

#: How bits per weight, and devices, may be given.
Bits = float | str | Scheme
DeviceName = str | Path | Profile
#: The layer that is predicted unless a shape is given: gate and up projection of Llama-3.1-8B.
DEFAULT_SHAPE = (28672, 4096)
MAX_SIDE = 2**24
MAX_BATCH = 2**16
LARGEST = sys.float_info.max
_BEYOND_CACHES = 2.0**60  # bytes
#: What runs on each kind of device unless a kernel is named: (quantised, baseline).
DEFAULT_KERNELS = {"gpu": ("ams", "cublas_fp16"), "cpu": ("ams_cpu", "blas_f32")}


@dataclass(frozen=True)
class Question:
    """One product to predict, every default spelled out."""

    bits: float
    profile: Profile
    rows: int
    columns: int
    batch: int
    kernel: Descriptor
    reuse_bytes: float
    graph: bool

    @property
    def weight_bytes(self) -> float:
        """Bytes of the packed weights."""
        return self.rows * self.columns * self.bits / 8

    @property
    def load(self) -> Load:
        """The problem as the equations take it."""
        return Load(
            float(self.rows),
            float(self.columns),
            float(self.batch),
            float(self.bits),
            float(self.reuse_bytes),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain data; infinite reuse is the word cold."""
        return {
            "bits": self.bits,
            "gpu": self.profile.name,
            "shape": [self.rows, self.columns],
            "batch": self.batch,
            "kernel": self.kernel.name,
            "l2": "cold" if math.isinf(self.reuse_bytes) else self.reuse_bytes,
            "graph": self.graph,
        }


def question(
    bits: Bits | None,
    device: DeviceName,
    shape: object,
    batch: object,
    kernel: str | None,
    l2: str | float,
    graph: bool,
) -> Question:
    """Check all of them; without ``bits`` the width is the kernel's own."""
    rows, columns = check_shape(shape)
    columns_of_x = check_count(batch, "batch", MAX_BATCH)
    width = None if bits is None else check_bits(bits)
    known = profile(device)
    if not isinstance(graph, bool):
        raise InputError(f"graph is {graph!r}, expected True or False")
    family = check_kernel(kernel, known, width)
    width = _own_width(family) if width is None else width
    reuse = check_l2(l2, rows * columns * width / 8)
    return Question(width, known, rows, columns, columns_of_x, family, reuse, graph)


def _own_width(family: Descriptor) -> float:
    low, high = family.bits
    if low != high:
        raise InputError(f"kernel {family.name!r} reads {low:g} to {high:g} bits: give bits")
    return float(low)


def check_bits(bits: Bits) -> float:
    """Return bits per weight; a spelled number or name of a scheme means exactly that scheme's.

    >>> check_bits(5.33) == check_bits("fp5.33") == 16 / 3
    True
    """
    if isinstance(bits, Scheme | str):
        try:
            return float(scheme(bits).bits)
        except SchemeError as error:
            raise InputError(f"bits is {bits!r}, expected 1 to 16, or a name: {error}") from None
    _check_real(bits, "bits", "1 to 16, such as 5.33, or the name of a scheme")
    if not 1 <= bits <= 16:
        raise InputError(f"bits is {bits!r}, expected 1 to 16 bits per weight")
    try:
        return float(scheme(bits=bits).bits)
    except SchemeError:  # a width that no preset has, or several: the number is what counts
        return float(bits)


def check_shape(shape: object) -> tuple[int, int]:
    """Return (rows, columns) of the weights."""
    ordered = hasattr(shape, "__len__") and not isinstance(shape, str | bytes | dict | set)
    if not ordered or len(cast(Sized, shape)) != 2:
        raise InputError(f"shape is {shape!r}, expected (rows, columns) such as (28672, 4096)")
    rows, columns = cast(tuple[object, object], shape)
    return check_count(rows, "rows", MAX_SIDE), check_count(columns, "columns", MAX_SIDE)


def check_count(value: object, name: str, most: int, least: int = 1) -> int:
    """Return a whole number from ``least`` to ``most``."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    number = cast(int, value)
    if not whole or not least <= number <= most:
        raise InputError(f"{name} is {value!r}, expected a whole number from {least} to {most}")
    return int(number)


def check_kernel(kernel: str | None, device: Profile, bits: float | None) -> Descriptor:
    """Return the descriptor of a kernel that runs on this kind of device and reads these bits.

    Without a name it is the kind's quantised kernel, and its baseline where ``bits`` is None too.
    """
    name = DEFAULT_KERNELS[device.kind][bits is None] if kernel is None else kernel
    family = descriptor(name)
    if family.kind != device.kind:
        fitting = [k for k in kernels() if descriptor(k).kind == device.kind]
        raise InputError(
            f"kernel {name!r} runs on a {family.kind}, and {device.name} is a {device.kind}: "
            f"choose one of {', '.join(fitting)}"
        )
    low, high = family.bits
    if bits is not None and not low <= bits <= high:
        span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        raise InputError(f"kernel {name!r} reads {span} bits per weight, found {bits:g}")
    return family


def check_l2(l2: str | float, weight_bytes: float) -> float:
    """Return the bytes that pass between two uses of a weight; infinite when it is cold."""
    named = {"cold": math.inf, "hot": weight_bytes}
    if isinstance(l2, str) and l2 in named:
        return named[l2]
    _check_real(l2, "l2", "'cold', 'hot', or the bytes touched between two uses of a weight")
    between = cast(float, l2)
    if between <= 0:
        raise InputError(f"l2 is {l2!r}: the bytes between two uses of a weight are positive")
    return float(between) if between < _BEYOND_CACHES else math.inf


def _check_real(value: object, name: str, expected: str) -> None:
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not abs(cast(float, value)) < math.inf or abs(cast(float, value)) > LARGEST:
        raise InputError(f"{name} is {_shown(value)}, expected {expected}")


def _shown(value: object) -> str:
    """The value in the length of a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
