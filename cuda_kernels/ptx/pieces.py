"""Activations on their way to shared memory: a piece is what one lane needs of one unit.

Decoded weights come as half2 (k_i, k_i + group), so the activations of a piece are put in that
order once, when they are stored: one byte permutation per pair.
"""

from functools import cache

import numpy as np

from cuda_kernels.emulator.lanes import WARP, lanes
from cuda_kernels.ptx.inline import Vector, ptx, u32, u64

# byte selectors of prmt by the halves that they take: 0 low, 1 high
_SELECT = {(0, 0): 0x5410, (1, 1): 0x7632, (0, 1): 0x7610, (1, 0): 0x5432}


def vector_words(pairs: int) -> int:
    """Registers of a piece that one instruction loads or stores: 4, or 2 where 4 do not divide."""
    return 4 if pairs % 4 == 0 else 2


def pair_order(group: int) -> list[tuple[int, int]]:
    """Columns (k_i, k_i + group) of each half2 register of a piece."""
    g = group
    return [(2 * g * sub + i, 2 * g * sub + i + g) for sub in range(2) for i in range(g)]


def order_text(group: int, piece: str) -> list[str]:
    """For each half2 register of a piece, the instruction that makes it from ``piece`` i words.

    ``{}`` in it stands for the register it is written to.
    """
    return [
        f"prmt.b32 {{}}, {piece}{low // 2}, {piece}{high // 2}, {_SELECT[low % 2, high % 2]:#x};"
        for low, high in pair_order(group)
    ]


@cache
def load_piece_of(group: int):
    """Make the function that loads a piece of one row of activations.

    Its loads are as wide as a row's alignment allows: 16 bytes each (groups of 4) or 8 (of 3).
    """
    pairs, words = 2 * group, vector_words(2 * group)
    loads = pairs // words
    lines = ["{ .reg .pred p;"]
    lines += [f"mov.b32 $out.{i}, 0;" for i in range(pairs)]
    for i in range(loads):
        block = ", ".join(f"$out.{words * i + j}" for j in range(words))
        lines += [
            f"setp.gt.s32 p, $valid, {2 * words * i};",
            f"@p ld.global.cg.v{words}.u32 {{{block}}}, [$address + {4 * words * i}];",
        ]

    @ptx("\n\t".join(lines) + " }", ordered=True)
    def load_piece(address: u64, valid: u32) -> Vector(u32, pairs):
        """Columns of one row of activations, zero from column ``valid`` (signed) on.

        They come through L2 (.cg): L1 may hold what was there before this grid's turn.
        """
        limit = np.asarray(lanes(valid, np.uint32)).view(np.int32)
        out = ()
        for i in range(loads):
            active = limit > 2 * words * i
            loaded = WARP.memory.load(address + np.uint64(4 * words * i), words, active=active)
            out += tuple(lanes(np.where(active, f, 0), np.uint32) for f in loaded)
        return out

    return load_piece


def in_pair_order(group: int, piece: tuple) -> tuple:
    """Registers of a piece -> those of the same columns in pair order."""
    bits = np.stack([np.asarray(w, np.uint32) for w in piece], axis=1)
    halves = np.ascontiguousarray(bits).view(np.uint16)
    ordered = np.ascontiguousarray(halves[:, np.array(pair_order(group)).ravel()])
    return tuple(ordered.view(np.uint32).T)


@cache
def store_piece_of(group: int):
    """Make the function that stores a piece in pair order."""
    pairs, width = 2 * group, vector_words(2 * group)
    lines = [f"{{ .reg .b32 {', '.join(f'p{q}' for q in range(pairs))}; .reg .pred p;"]
    lines.append("setp.ne.u32 p, $wanted, 0;")
    lines += [text.format(f"p{q}") for q, text in enumerate(order_text(group, "$piece."))]
    for q in range(0, pairs, width):
        block = ", ".join(f"p{q + i}" for i in range(width))
        lines.append(f"@p st.shared.v{width}.u32 [$address + {4 * q}], {{{block}}};")

    @ptx("\n\t".join(lines) + " }", ordered=True)
    def store_piece(address: u32, piece: Vector(u32, pairs), wanted: u32):
        """A piece to shared memory where ``wanted``, its columns in pair order."""
        active = lanes(wanted, np.uint32) != 0
        registers = in_pair_order(group, piece)
        for q in range(0, pairs, width):
            block = registers[q : q + width]
            WARP.shared.store(address + np.uint32(4 * q), block, active=active)

    return store_piece


@cache
def order_piece_of(group: int):
    """Make the function that brings a piece in shared memory into pair order."""
    pairs, width = 2 * group, vector_words(2 * group)
    names = [f"{name}{q}" for name in "ap" for q in range(pairs)]
    lines = [f"{{ .reg .b32 {', '.join(names)}; .reg .pred p; setp.ne.u32 p, $wanted, 0;"]
    for q in range(0, pairs, width):
        block = ", ".join(f"a{q + i}" for i in range(width))
        lines.append(f"@p ld.shared.v{width}.u32 {{{block}}}, [$source + {4 * q}];")
    lines += [text.format(f"p{q}") for q, text in enumerate(order_text(group, "a"))]
    for q in range(0, pairs, width):
        block = ", ".join(f"p{q + i}" for i in range(width))
        lines.append(f"@p st.shared.v{width}.u32 [$to + {4 * q}], {{{block}}};")

    @ptx("\n\t".join(lines) + " }", ordered=True)
    def order_piece(source: u32, to: u32, wanted: u32):
        """A piece in column order at ``source`` in shared memory -> in pair order at ``to``, where
        ``wanted``."""
        active, piece = lanes(wanted, np.uint32) != 0, ()
        for q in range(0, pairs, width):
            piece += WARP.shared.load(source + np.uint32(4 * q), width, active=active)
        registers = in_pair_order(group, piece)
        for q in range(0, pairs, width):
            WARP.shared.store(to + np.uint32(4 * q), registers[q : q + width], active=active)

    return order_piece
