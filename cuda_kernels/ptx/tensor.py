"""Tensor-core instructions: mma.m16n8k16 on decoded weights. PTX ISA 9.0, section 9.7.14.5.8."""

import numpy as np

from cuda_kernels.emulator.lanes import WARP, lanes
from cuda_kernels.ptx.inline import Vector, f32, ptx, u32
from cuda_kernels.ptx.pieces import vector_words


def contract(pairs: int, tiles: int = 1, x_tiles: int = 1, column_stride: int = 0):
    """Make the function that adds one unit of K to ``tiles`` x ``x_tiles`` fragments.

    out[m, n] += W[m] X[n] with W[m] 16 rows x 8 * pairs weights as decoded, X[n] 8 columns of
    activations in shared memory; products exact, sums float32.

    Args:
        pairs: half2 registers per lane and row, 8 or 6; one mma.m16n8k16 takes two.
        tiles: row tiles, 1 or 2.
        x_tiles: column tiles of 8.
        column_stride: bytes from one column tile to the next in shared memory.
    """
    weights, sums = Vector(u32, 2 * pairs), Vector(f32, 4 * tiles * x_tiles)
    text = _contract_text(pairs, tiles, x_tiles, column_stride)
    options = {"ordered": True, "collective": True, "update": "sums"}

    def accumulate(sums, fragments, activations):
        out = list(sums)
        for n in range(x_tiles):
            x = _load_pairs(activations + np.uint32(n * column_stride), pairs)
            for m, w in enumerate(fragments):
                at = 4 * (m * x_tiles + n)
                for j in range(pairs // 2):
                    a, b = w[4 * j : 4 * j + 4], x[2 * j : 2 * j + 2]
                    out[at : at + 4] = mma_model(a, b, out[at : at + 4])
        return tuple(out)

    if tiles == 1:

        @ptx(text, **options)
        def contract_unit(sums: sums, w0: weights, activations: u32) -> sums:
            """sums += W X over one unit."""
            return accumulate(sums, (w0,), activations)

    else:

        @ptx(text, **options)
        def contract_unit(sums: sums, w0: weights, w1: weights, activations: u32) -> sums:
            """sums += W X over one unit, two row tiles."""
            return accumulate(sums, (w0, w1), activations)

    return contract_unit


def _contract_text(pairs, tiles, x_tiles, stride) -> str:
    """K outermost, so that consecutive instructions add to different sums."""
    width = vector_words(pairs)
    together = min(x_tiles, 4)  # column tiles whose activations are in registers at a time
    names = ", ".join(f"x{n}_{i}" for n in range(together) for i in range(width))
    lines = [f"{{ .reg .b32 {names};"]
    for first in range(0, x_tiles, together):
        for q in range(0, pairs, width):
            for n in range(together):
                block = ", ".join(f"x{n}_{i}" for i in range(width))
                offset = (first + n) * stride + 4 * q
                lines.append(f"ld.shared.v{width}.u32 {{{block}}}, [$activations + {offset}];")
            for j in range(q // 2, (q + width) // 2):
                for n in range(together):
                    b = f"{{x{n}_{2 * j - q}, x{n}_{2 * j + 1 - q}}}"
                    lines += [_mma_text(m, first + n, x_tiles, j, b) for m in range(tiles)]
    return "\n\t".join(lines) + " }"


def _mma_text(m, n, x_tiles, j, b) -> str:
    at = 4 * (m * x_tiles + n)
    c = "{" + ", ".join(f"$out.{at + i}" for i in range(4)) + "}"
    a = "{" + ", ".join(f"$w{m}.{4 * j + i}" for i in range(4)) + "}"
    return f"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {c}, {a}, {b}, {c};"


def _load_pairs(address, pairs: int) -> tuple:
    width = vector_words(pairs)
    registers = ()
    for q in range(0, pairs, width):
        registers += WARP.shared.load(address + np.uint32(4 * q), width)
    return registers


def store_fragments(count: int):
    """Make the function that stores ``count`` fragments of sums, 512 bytes each, for a warp."""
    parts = [
        f"st.shared.v4.f32 [$address + {512 * f}], "
        f"{{$sums.{4 * f}, $sums.{4 * f + 1}, $sums.{4 * f + 2}, $sums.{4 * f + 3}}};"
        for f in range(count)
    ]

    @ptx("\n\t".join(parts), ordered=True)
    def store_sums(address: u32, sums: Vector(f32, 4 * count)):
        """Fragment f at address + 512 f; ``address`` is the lane's own."""
        for f in range(count):
            place = address + np.uint32(512 * f)
            WARP.shared.store(place, sums[4 * f : 4 * f + 4], np.float32)

    return store_sums


_G, _T = np.arange(32) >> 2, np.arange(32) & 3


def mma_model(a: tuple, b: tuple, c: tuple) -> tuple:
    """Model of mma.m16n8k16: a 16x16 and b 16x8 as half2 registers, c 16x8 float32."""
    left, right, sums = np.zeros((16, 16)), np.zeros((16, 8)), np.zeros((16, 8))
    for r in range(4):
        pair = _halves(a[r])
        for i in range(2):
            left[_G + 8 * (r & 1), 2 * _T + 8 * (r >> 1) + i] = pair[:, i]
            sums[_G + 8 * (r >> 1), 2 * _T + (r & 1)] = np.asarray(c[r])
    for r in range(2):
        pair = _halves(b[r])
        for i in range(2):
            right[2 * _T + 8 * r + i, _G] = pair[:, i]
    with np.errstate(invalid="ignore"):
        sums = sums + left @ right
    return tuple(lanes(sums[_G + 8 * (r >> 1), 2 * _T + (r & 1)], np.float32) for r in range(4))


def _halves(register) -> np.ndarray:
    bits = np.ascontiguousarray(np.asarray(register).astype(np.uint32))
    return bits.view(np.float16).reshape(32, 2).astype(np.float64)
