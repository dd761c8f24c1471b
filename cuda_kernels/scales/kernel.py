"""Scales per block <-> their order in memory (`cuda_kernels.gemv.block_scales`), and back.

In that order come a 1 for each row of whole row tiles, which stand where other matrices have the
scales of rows; then [row tile, stored, 8, 2]: the pairs are those of rows g and g + 8.
"""

from numba import cuda

from amssim.launch.geometry import TILE_ROWS
from cuda_kernels.kernel import Kernel
from cuda_kernels.ptx import load_word_if, store_word_if, u32, u64
from cuda_kernels.signature import address, count

THREADS = 64
ONE_BITS = 0x3F800000  # 1.0, bit by bit: scales are moved, not computed with


def make_order_scales(*, back: bool):
    """Make the kernel of one direction."""

    @cuda.jit(device=True, inline="always")
    def place_of(row, stored, several, row_tiles):
        """Where the scale of a row and of ``stored`` lies."""
        tile, inside = u32(row >> u32(4)), u32(row & u32(TILE_ROWS - 1))
        group = u32(u32(u32(tile * several + stored) * u32(8)) + u32(inside & u32(7)))
        ones = u32(row_tiles * u32(TILE_ROWS))
        return u32(ones + u32(u32(group * u32(2)) + u32(inside >> u32(3))))

    def order_scales(
        source: address, out: address, count_out: count, rows: count, blocks: count,
        row_tiles: count, several: count, stored_columns: count, scale_block: count,
    ):  # fmt: skip
        """out[i] of float32[rows, blocks], or back to it.

        count_out: of elements that are written; several: stored scales of a row, each of
        ``stored_columns`` columns.
        """
        i = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
        wanted = u32(i < count_out)
        if back:
            i = u32(i * wanted)
            row = u32(i // blocks)
            first = u32(u32(i - row * blocks) * scale_block)
            at = place_of(row, u32(first // stored_columns), several, row_tiles)
            bits = u32(load_word_if(u64(source + u64(at) * u64(4)), wanted))
        else:
            ones = u32(row_tiles * u32(TILE_ROWS))
            j = u32(u32(i - ones) * u32(i >= ones))
            pair = u32(j >> u32(1))
            g, both = u32(pair & u32(7)), u32(pair >> u32(3))
            tile = u32(both // several)
            stored = u32(both - tile * several)
            row = u32(tile * u32(TILE_ROWS) + u32(8) * u32(j & u32(1)) + g)
            inside = u32(u32(row < rows) * u32(i >= ones))
            block = u32(u32(stored * stored_columns) // scale_block)
            block = u32(min(block, u32(blocks - u32(1))))
            at = u32(u32(row * blocks + block) * inside)
            bits = u32(load_word_if(u64(source + u64(at) * u64(4)), u32(1)))
            bits = u32(u32(bits * inside) | u32(u32(ONE_BITS) * u32(u32(1) - inside)))
        store_word_if(u64(out + u64(i) * u64(4)), bits, wanted)

    return order_scales


KERNEL = Kernel(make_order_scales)
