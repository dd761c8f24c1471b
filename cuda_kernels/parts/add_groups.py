"""The end of the other kernels: fragments of groups and blocks, summed, scaled and stored."""

from numba import cuda

from amssim.launch.geometry import SLOT_BYTES
from cuda_kernels.parts.finish import make_finish
from cuda_kernels.ptx import f32, load_cluster, load_shared, u32


def make_add_groups(dtype: str, x_tiles: int, groups: int, strides: tuple[int, int], split: bool):
    """Make the device function that adds the fragments of groups and blocks and stores them.

    Args:
        x_tiles: column tiles, whose fragments follow each other.
        groups: parts of a block that share K.
        strides: bytes from the fragments of a row tile to the next one's, and from a group's to
            the next one's.
        split: the blocks of a cluster share K.
    """
    finish, (tile_bytes, group_bytes) = make_finish(dtype), strides

    @cuda.jit(device=True, inline="always")
    def add_groups(slots, tiles, row_data, first_row, target):
        """out = the fragments of all groups and blocks, in the order of their slices of K."""
        warps = u32(u32(cuda.blockDim.x) >> u32(5))
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        blocks = u32(cuda.gridDim.x)
        fragment = u32(u32(cuda.blockIdx.x) * warps + (u32(cuda.threadIdx.x) >> u32(5)))
        while fragment < u32(tiles * u32(x_tiles)):
            tile = u32(fragment // u32(x_tiles))
            column = u32(fragment - tile * u32(x_tiles))
            at = u32(slots + tile * u32(tile_bytes) + column * u32(SLOT_BYTES) + lane * u32(16))
            s0, s1, s2, s3 = f32(0), f32(0), f32(0), f32(0)
            r = u32(0)
            while r < blocks:
                for g in range(groups):
                    here = u32(at + u32(g * group_bytes))
                    part = load_cluster(here, r) if split else load_shared(here)
                    s0, s1 = f32(s0 + part[0]), f32(s1 + part[1])
                    s2, s3 = f32(s2 + part[2]), f32(s3 + part[3])
                r = u32(r + u32(1))
            row, first_column = u32(first_row + tile * u32(16)), u32(column * u32(8))
            finish((s0, s1, s2, s3), row, u32(row_data + tile * u32(128)), first_column, target)
            fragment = u32(fragment + blocks * warps)

    return add_groups
