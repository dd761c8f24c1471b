"""Which part of the weights is a block's."""

from numba import cuda

from cuda_kernels.ptx import u32


@cuda.jit(device=True, inline="always")
def part_of(number, most, ample, step):
    """(begin, length) of a part of a list: the first ``ample`` have ``most``, others ``step`` less.

    The host shares out the same way (`amssim.launch.geometry.even_parts`).
    """
    less = u32(number - min(number, ample))  # parts ahead that are smaller
    begin = u32(number * most - less * u32(step))
    return begin, u32(most - u32(number >= ample) * u32(step))


@cuda.jit(device=True, inline="always")
def block_of(units, most_tiles, full, slice_units):
    """(first row tile, row tiles, first unit, units) of this block.

    most_tiles: row tiles of each of the first ``full`` clusters; others have one less
    """
    first_tile, tiles = part_of(u32(cuda.blockIdx.y), most_tiles, full, 1)
    first = u32(u32(cuda.blockIdx.x) * slice_units)
    return first_tile, tiles, first, u32(min(slice_units, u32(units - first)))
