"""The sums of a row tile in a warp's registers: what adds a unit to them, and what leaves them.

Of each column tile of 8 a lane has four sums, the fragment of ``mma.m16n8k16``.
"""

from numba import cuda

from amssim.launch.geometry import SLOT_BYTES
from cuda_kernels.forms.form import Form
from cuda_kernels.ptx import contract, f32, store_shared, u32

ZEROS = (f32(0), f32(0), f32(0), f32(0))


def make_add_unit(form: Form, x_tiles: int, scale_units: int, in_turns: bool = False):
    """Make the device function that multiplies a unit and adds it to the sums.

    ``in_turns``: of two sums of the row tile it adds to the first, which becomes the second. So
    half as many products wait for each other; with two column tiles it is so anyway.
    """
    multiply, wide = contract(form.pairs), x_tiles == 2

    @cuda.jit(device=True, inline="always")
    def add_tile(sums, fragments, x_at, scales):
        """sums + scales W X of one column tile; the scales are those of rows g and g + 8."""
        if scale_units:
            s0, s1, s2, s3 = multiply(ZEROS, fragments, x_at)
            upper, lower = scales
            return (
                f32(sums[0] + s0 * upper),
                f32(sums[1] + s1 * upper),
                f32(sums[2] + s2 * lower),
                f32(sums[3] + s3 * lower),
            )
        return multiply(sums, fragments, x_at)

    @cuda.jit(device=True, inline="always")
    def add_unit(sums, fragments, x_at, beside, scales):
        """The sums of all column tiles after a unit; the second's activations lie ``beside``."""
        if wide:
            first = add_tile(sums[0], fragments, x_at, scales)
            return first, add_tile(sums[1], fragments, u32(x_at + beside), scales)
        if in_turns:
            return sums[1], add_tile(sums[0], fragments, x_at, scales)
        return (add_tile(sums[0], fragments, x_at, scales),)

    return add_unit


def make_sums(team: int, x_tiles: int, in_turns: bool):
    """Make the zero sums of a row tile, and the device function that leaves them."""
    wide = x_tiles == 2
    zeros = (ZEROS, ZEROS) if in_turns or wide else (ZEROS,)
    stride = u32(team * x_tiles * SLOT_BYTES)

    @cuda.jit(device=True, inline="always")
    def leave(mine, sums):
        """Put the sums of a row tile into this warp's slot, and go on to the next one's."""
        first = sums[0]
        if in_turns:
            (a0, a1, a2, a3), (b0, b1, b2, b3) = sums[0], sums[1]
            first = (f32(a0 + b0), f32(a1 + b1), f32(a2 + b2), f32(a3 + b3))
        store_shared(mine, first)
        if wide:
            store_shared(u32(mine + u32(SLOT_BYTES)), sums[1])
        return u32(mine + stride), zeros

    return zeros, leave
