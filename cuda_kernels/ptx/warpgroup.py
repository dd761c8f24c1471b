"""Hopper's warpgroup products: wgmma on decoded weights. PTX ISA 9.0, section 9.7.15.

Four warps multiply together, each its own 16 rows of weights from registers; fragments of weights
and sums are those of mma.m16n8k16. All read the same activations, which lie in shared memory as
*core matrices*: 8 columns (rows of x) x 8 values of K, 128 bytes. Core matrix (q, n) of a unit
holds half2 register q of the four lanes of each column of column tile n.
"""

import numpy as np

from cuda_kernels.emulator.lanes import WARP, lanes
from cuda_kernels.ptx.inline import Vector, f32, ptx, u32
from cuda_kernels.ptx.pieces import in_pair_order, order_text, vector_words
from cuda_kernels.ptx.tensor import mma_model

CORE_BYTES = 128


def core_matrix_bytes(group: int, x_tiles: int) -> int:
    """Bytes of the activations of one unit for ``x_tiles`` column tiles."""
    return 2 * group * x_tiles * CORE_BYTES


def contract_by_warpgroup(group: int, x_tiles: int, tiles: int = 1):
    """Make the function that adds one unit of K to ``tiles`` x ``x_tiles`` fragments.

    The products have ended when it returns: what hides their latency is another warpgroup.

    Args:
        group: of the weights.
        x_tiles: column tiles of 8.
        tiles: row tiles, 1 or 2; the fragments of the second follow those of the first.
    """
    pairs = 2 * group
    weights, sums = Vector(u32, 2 * pairs), Vector(f32, 4 * x_tiles * tiles)
    row = x_tiles * CORE_BYTES
    options = {"ordered": True, "collective": True, "update": "sums"}

    def accumulate(sums, fragments, activations):
        out = list(sums)
        for n in range(x_tiles):
            place = activations + np.uint32(n * CORE_BYTES) + np.arange(32, dtype=np.uint32) * 4
            x = [WARP.shared.load(place + np.uint32(q * row), 1)[0] for q in range(pairs)]
            for m, w in enumerate(fragments):
                at = 4 * (m * x_tiles + n)
                for j in range(pairs // 2):
                    b = x[2 * j : 2 * j + 2]
                    out[at : at + 4] = mma_model(w[4 * j : 4 * j + 4], b, out[at : at + 4])
        return tuple(out)

    if tiles == 1:

        @ptx(_text(pairs, x_tiles, 1), **options)
        def contract_unit(sums: sums, w0: weights, activations: u32) -> sums:
            """sums += W X over one unit; ``activations`` is the address of its core matrices."""
            return accumulate(sums, (w0,), activations)

    else:

        @ptx(_text(pairs, x_tiles, 2), **options)
        def contract_unit(sums: sums, w0: weights, w1: weights, activations: u32) -> sums:
            """sums += W X over one unit, two row tiles."""
            return accumulate(sums, (w0, w1), activations)

    return contract_unit


def _text(pairs: int, x_tiles: int, tiles: int) -> str:
    """The descriptor: address, bytes along K and along the columns, each / 16; no swizzle.

    Of the address 18 bits count; above them a block of a cluster finds its rank.
    """
    along_k, along_columns = x_tiles * CORE_BYTES // 16, CORE_BYTES // 16
    shape = f"m64n{8 * x_tiles}k16"
    lines = [
        "{ .reg .b32 at; .reg .b64 x; .reg .pred add; setp.eq.u32 add, 0, 0;",
        f"bfe.u32 at, $activations, 4, 14; add.u32 at, at, {along_k << 16};",
        "wgmma.fence.sync.aligned;",
    ]
    for j in range(pairs // 2):
        lines.append(f"mov.b64 x, {{at, {along_columns}}};")
        for m in range(tiles):
            first = 4 * m * x_tiles
            sums = "{" + ", ".join(f"$out.{first + i}" for i in range(4 * x_tiles)) + "}"
            w = "{" + ", ".join(f"$w{m}.{4 * j + i}" for i in range(4)) + "}"
            lines.append(
                f"wgmma.mma_async.sync.aligned.{shape}.f32.f16.f16 {sums}, {w}, x, add, 1, 1, 0;"
            )
        lines.append(f"add.u32 at, at, {2 * along_k};")
    lines += ["wgmma.commit_group.sync.aligned;", "wgmma.wait_group.sync.aligned 0; }"]
    return "\n\t".join(lines)


def store_core_matrices(group: int, x_tiles: int):
    """Make the function that brings a lane's piece of activations into core matrices."""
    pairs = 2 * group
    row = x_tiles * CORE_BYTES
    width = vector_words(pairs)
    lines = [f"{{ .reg .b32 {', '.join(f'p{q}' for q in range(pairs))}, p;"]
    for q in range(0, pairs, width):
        block = ", ".join(f"p{q + i}" for i in range(width))
        lines.append(f"ld.shared.v{width}.u32 {{{block}}}, [$source + {4 * q}];")
    for q, order in enumerate(order_text(group, "p")):
        lines += [order.format("p"), f"st.shared.u32 [$to + {q * row}], p;"]

    @ptx("\n\t".join(lines) + " }", ordered=True)
    def arrange_piece(source: u32, to: u32):
        """A piece in column order at ``source`` -> half2 register q of it at to + q * row."""
        words = ()
        for q in range(0, pairs, width):
            words += WARP.shared.load(source + np.uint32(4 * q), width)
        for q, register in enumerate(in_pair_order(group, words)):
            WARP.shared.store(to + np.uint32(q * row), (lanes(register, np.uint32),))

    return arrange_piece
