"""Which kernels this process uses: explicit AVX2, or plain Numba that runs on any CPU."""

from __future__ import annotations

import os
from functools import cache

from numba.core.registry import cpu_target

from amssim.cpu.layouts import LAYOUTS
from amssim.errors import InputError, ResourceError
from amssim.tensor.packed import PackedTensor

#: ``plain`` never takes the AVX2 kernels, ``avx2`` fails where the CPU lacks them; ``auto``, or
#: unset, takes them where it can.
VARIABLE = "AMSSIM_CPU"
_CHOICES = ("auto", "avx2", "plain")
# F16C turns halves into floats; FMA is what makes the float sums the same bits on every such CPU.
_NEEDED = ("avx2", "f16c", "fma")


def has_avx2_kernels(packed: PackedTensor) -> bool:
    """Whether there are AVX2 kernels for this tensor: published schemes with a scale per row."""
    return packed.scheme in LAYOUTS and packed.scale_block is None


def uses_avx2(packed: PackedTensor) -> bool:
    """Whether products with ``packed`` run the AVX2 kernels here and now.

    Raises:
        InputError: `VARIABLE` has an unknown value.
        ResourceError: it asks for AVX2 on a CPU without.
    """
    choice = os.environ.get(VARIABLE) or "auto"
    if choice not in _CHOICES:
        raise InputError(f"{VARIABLE} is {choice!r}: choose one of {', '.join(_CHOICES)}")
    if choice == "avx2" and missing_features():
        raise ResourceError(
            f"{VARIABLE}=avx2 needs a CPU with {', '.join(missing_features())}: unset it"
        )
    return choice != "plain" and has_avx2_kernels(packed) and not missing_features()


@cache
def missing_features() -> tuple[str, ...]:
    """Return what the AVX2 kernels need and the CPU that Numba compiles for does not have."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    present = set(features.split(","))
    return tuple(name for name in _NEEDED if f"+{name}" not in present)
