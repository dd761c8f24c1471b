"""Canonical words -> the words and tails of a kernel form, equal to the CPU's bit for bit.

A lane takes what a lane of a product takes of a burst: 16 words, and the tail with their shared
bits where these lie apart.
"""

from numba import cuda

from amssim.launch.geometry import BURST, TILE_ROWS
from cuda_kernels.forms.form import Form
from cuda_kernels.kernel import Kernel
from cuda_kernels.ptx import store_word_if, u32, u64
from cuda_kernels.signature import address, count

THREADS = 64


def make_pack(form: Form):
    """Make the kernel of one form."""
    word_of, has_tails = form.device.word, form.has_tails
    row_half_first, piece = form.host.row_half_first, form.piece_weights
    unit_weights, part_weights = form.unit_weights, 2 * form.group

    def pack(
        canonical: address, words: address, tails: address, rows: count, columns: count,
        units: count, row_tiles: count, k: count, field_bits: count, block_weights: count,
        block_words: count, shared_bit: count, row_words: count, widening: count,
    ):  # fmt: skip
        """words[tile, unit, lane, v], tails[tile, burst, lane] of uint16[rows, row_words].

        widening: bits that the mantissa of the form's minifloat is longer by than the scheme's.
        """
        numbers = (k, field_bits, block_weights, block_words, shared_bit)
        matrix = (canonical, (rows, columns, row_words), numbers, widening)
        i = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
        bursts = u32(units // u32(BURST))
        wanted = u32(i < u32(row_tiles * bursts * u32(32)))
        lane, burst = u32(i & u32(31)), u32(i >> u32(5))
        tile = u32(burst // bursts)
        first = u32(u32(burst - tile * bursts) * u32(BURST))
        tail = u32(0)
        for number in range(4 * BURST):
            unit, v = u32(first + u32(number >> 2)), u32(number & 3)
            row_half, part = u32(v & u32(1)), u32(v >> u32(1))
            if row_half_first:
                row_half, part = part, row_half
            row = u32(tile * u32(TILE_ROWS) + u32(lane >> u32(2)) + u32(8) * row_half)
            column = u32(unit * u32(unit_weights) + u32(lane & u32(3)) * u32(piece))
            word, shared = word_of(matrix, row, u32(column + part * u32(part_weights)))
            at = u64(u64(u64(tile) * u64(units) + u64(unit)) * u64(128))
            at = u64(at + u64(u32(u32(4) * lane + v)))
            store_word_if(u64(words + at * u64(4)), word, wanted)
            left = u32(u32(32 - number) & u32(31))
            tail = u32(tail | u32(shared >> u32(number)) | u32(shared << left))
        if has_tails:
            place = u64(u64(burst) * u64(32) + u64(lane))
            store_word_if(u64(tails + place * u64(4)), tail, wanted)

    return pack


KERNEL = Kernel(make_pack)
