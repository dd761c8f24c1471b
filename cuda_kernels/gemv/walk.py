"""How a warp of the GEMV walks along its units.

The bursts of a block, row tile by row tile, are one list. Teams of warps share it evenly: each has
a contiguous range, which its warps take in turns, and the last teams may have a burst less than the
first. So no scheduler of a multiprocessor has more than a burst above another. A *place* is where a
burst lies: (its number in the matrix, unit in the row).
"""

from numba import cuda

from amssim.launch.geometry import BURST
from cuda_kernels.parts.blocks import block_of, part_of
from cuda_kernels.ptx import u32, u64


def make_partition(split: bool, team: int):
    """Make the device functions that find a warp's range of its block's units.

    The first ``ample`` teams have ``share`` units each, the others a burst less.
    """

    @cuda.jit(device=True, inline="always")
    def tile_of(i, n, per_tile):
        """Row tile, counted from the block's first, of unit i of the block's list."""
        return u32(i // n) if split else u32((u64(i) * per_tile) >> u64(32))

    @cuda.jit(device=True, inline="always")
    def slot_of(tile, place):
        """Slot of this warp's sums of a row tile: a different one for each pair."""
        number, mate = place
        return u32(u32(number + tile) * u32(team) + mate)

    @cuda.jit(device=True, inline="always")
    def partition(sizes, per_tile):
        """((first row tile, row tiles, first unit, units) of the block, (team, mate) of the warp,
        (begin, end) of its team's range, (first unit in the list, its row tile, place in that))."""
        units, cluster_tiles, full, slice_units, share, ample = sizes
        warp = u32(u32(cuda.threadIdx.x) >> u32(5))
        mate, number = u32(warp % u32(team)), u32(warp // u32(team))
        first_tile, tiles, first, n = block_of(units, cluster_tiles, full, slice_units)
        total = u32(tiles * n)
        begin, length = part_of(number, share, ample, BURST)
        begin = u32(min(total, begin))
        end = u32(min(total, u32(begin + length)))
        tile = tile_of(begin, n, per_tile)
        i = u32(begin + mate * u32(BURST))
        unit = u32(i - tile * n)  # may lie past the row tile's end: the loop sees to that
        return (first_tile, tiles, first, n), (number, mate), (begin, end), (i, tile, unit)

    return partition, tile_of, slot_of


def make_steps(split: bool, team: int):
    """Make the device functions that find a warp's first place, and go on to its next burst.

    ``slice_end`` is (units of a row in the slice, bursts from there to the next row's slice).
    """

    @cuda.jit(device=True, inline="always")
    def inside(place, slice_end):
        """The same place, counted in the row tile that it lies in."""
        burst, unit = place
        if split and unit >= slice_end[0]:
            burst, unit = u32(burst + slice_end[1]), u32(unit - slice_end[0])
        return burst, unit

    @cuda.jit(device=True, inline="always")
    def onward(place, slice_end):
        """The place after this burst and those that the other warps of the team take."""
        return inside((u32(place[0] + u32(team)), u32(place[1] + u32(BURST * team))), slice_end)

    return inside, onward
