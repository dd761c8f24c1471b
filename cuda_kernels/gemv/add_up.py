"""The end of a GEMV: the slots of each row tile, summed, scaled and stored."""

from numba import cuda

from amssim.launch.geometry import SLOT_BYTES
from cuda_kernels.parts.finish import make_finish
from cuda_kernels.ptx import f32, load_cluster, load_shared, u32, u64


def make_add_up(dtype: str, split: bool, team: int, x_tiles: int):
    """Make the device functions that find this warp's first slots, before there are sums, and that
    add the partial sums of each row tile and store them."""
    finish, slot_bytes = make_finish(dtype), x_tiles * SLOT_BYTES

    @cuda.jit(device=True, inline="always")
    def team_of(i, teams):
        """The team whose range holds unit i of the block's list.

        teams: (first, 2^32 / most, 2^32 / (most - BURST)), the quotients rounded up and 0 for a
            division by 0. So many of the teams as first / BURST have ``most`` units, the others a
            burst less.
        """
        first, per_share, per_less = teams
        by_share = u32((u64(i) * per_share) >> u64(32))
        by_less = u32((u64(u32(max(i, first) - first)) * per_less) >> u64(32))
        return u32(max(by_share, by_less))

    @cuda.jit(device=True, inline="always")
    def slots_of(fragment, r, work):
        """(first slot, slot after the last) of a fragment in the block that has slice r of K."""
        _, _, units, slice_units, teams, _, _ = work
        j = u32(fragment // u32(x_tiles))
        n = u32(min(slice_units, u32(units - r * slice_units)))
        begin = u32(j * n)
        last = team_of(u32(begin + n - u32(1)), teams)
        first = u32(u32(team_of(begin, teams) + j) * u32(team))
        return first, u32(u32(last + j + u32(1)) * u32(team))

    @cuda.jit(device=True, inline="always")
    def find_slots(work):
        """This warp's first fragment and its slots."""
        warps = u32(u32(cuda.blockDim.x) >> u32(5))
        fragment = u32(u32(cuda.blockIdx.x) * warps + (u32(cuda.threadIdx.x) >> u32(5)))
        return fragment, slots_of(fragment, u32(0), work)

    @cuda.jit(device=True, inline="always")
    def add_up(first_slots, work, target):
        """out = the slots of each row tile, summed in the order of (slice of K, warp).

        work: (first row tile, row tiles, units of a row, units of a slice, what `team_of` wants,
            shared address of scales and bias, and of the slots)
        """
        first_tile, tiles, _, _, _, row_data, slots = work
        fragment, (slot, stop) = first_slots
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        blocks = u32(cuda.gridDim.x) if split else u32(1)
        step = u32(blocks * (u32(cuda.blockDim.x) >> u32(5)))
        while fragment < u32(tiles * u32(x_tiles)):
            j = u32(fragment // u32(x_tiles))
            column = u32(fragment - j * u32(x_tiles))
            first_slot = u32(slots + column * u32(SLOT_BYTES) + lane * u32(16))
            s0, s1, s2, s3 = f32(0), f32(0), f32(0), f32(0)
            r = u32(0)
            while r < blocks:
                while slot < stop:
                    for u in range(4):
                        here = u32(min(u32(slot + u32(u)), u32(stop - u32(1))))
                        at = u32(first_slot + here * u32(slot_bytes))
                        part = load_cluster(at, r) if split else load_shared(at)
                        if u32(slot + u32(u)) < stop:  # a product by 0 would make Inf NaN
                            s0, s1 = f32(s0 + part[0]), f32(s1 + part[1])
                            s2, s3 = f32(s2 + part[2]), f32(s3 + part[3])
                    slot = u32(slot + u32(4))
                r = u32(r + u32(1))
                if r < blocks:
                    slot, stop = slots_of(fragment, r, work)
            row, first_column = u32(u32(first_tile + j) * u32(16)), u32(column * u32(8))
            finish((s0, s1, s2, s3), row, u32(row_data + j * u32(128)), first_column, target)
            fragment = u32(fragment + step)
            if fragment < u32(tiles * u32(x_tiles)):
                slot, stop = slots_of(fragment, u32(0), work)

    return find_slots, add_up
