"""FP4.25 in kernels: a word holds the top bits of 8 weights, the shared bits lie apart.

Of a half-word's four slots the first is masked and the second shifted and masked. The third and
the fourth are products of the bits that are left over, masked: each factor moves all fields at
once, and carries make the high half depend on the low one.
"""

from functools import lru_cache

import numpy as np
from numba import cuda

from amssim.minifloat import Minifloat
from cuda_kernels.forms.bits import place_bits, ror, take_bits
from cuda_kernels.forms.canonical import code_of_half, device_place_bits, u32, wide_code_at
from cuda_kernels.forms.form import DeviceWords, Form, HostWords
from cuda_kernels.forms.fragments import in_fragment_order, slot_names
from cuda_kernels.ptx.inline import Vector, ptx

MASK = 0x8E008E00
REST, FACTORS = 0x01FB01FB, (640, 4112)
SHARED_BITS = 0x01000100
#: where a decoded half holds the top bits of e2m2, low to high, and what is left of the half
TOP_PLACES = (9, 10, 11, 15)
REST_PLACES = (0, 1, 3, 4, 5, 6, 7, 8)
PAIRS = 8

# --- decoding -------------------------------------------------------------------------------------


def slots_of(word: np.ndarray, shared: np.ndarray) -> tuple[np.ndarray, ...]:
    """uint32 word of 8 weights -> 4 half2; ``shared`` holds its two shared bits at 8 and 24."""
    rest = word & np.uint32(REST)
    moved = [word, ror(word, 3), *(rest * np.uint32(f) for f in FACTORS)]
    return tuple((bits & np.uint32(MASK)) | shared for bits in moved)


def fragment(j: int, r: int) -> tuple[int, int]:
    """(word, slot) of register r of the unit's mma number j."""
    q = 2 * j + (r >> 1)
    return 2 * (q // 4) + (r & 1), q % 4


def _text() -> str:
    out = slot_names(PAIRS, fragment)
    lines = ["{ .reg .b32 s, r;"]
    for v in range(4):
        word, combine = f"$words.{v}", f"{MASK:#x}, s, 0xEA;"
        turn = f"shl.b32 s, $tail, {v};" if v else "mov.b32 s, $tail;"
        lines += [
            f"{turn} and.b32 s, s, {SHARED_BITS:#x};",
            f"lop3.b32 {out[v, 0]}, {word}, {combine}",
            f"shf.r.wrap.b32 r, {word}, {word}, 3; lop3.b32 {out[v, 1]}, r, {combine}",
            f"and.b32 r, {word}, {REST:#x};",
            f"mul.lo.u32 {out[v, 2]}, r, {FACTORS[0]};",
            f"lop3.b32 {out[v, 2]}, {out[v, 2]}, {combine}",
            f"mul.lo.u32 {out[v, 3]}, r, {FACTORS[1]};",
            f"lop3.b32 {out[v, 3]}, {out[v, 3]}, {combine}",
        ]
    return "\n\t".join(lines) + " }"


@ptx(_text())
def decode_unit(words: Vector(u32, 4), tail: u32) -> Vector(u32, 16):
    """A lane's words of an FP4.25 unit -> fragments; ``tail`` holds the shared bits of word v at
    8 - v and 24 - v."""
    shared = [(tail << np.uint32(v)) & np.uint32(SHARED_BITS) for v in range(4)]
    decoded = [slots_of(np.asarray(w), s) for w, s in zip(words, shared, strict=True)]
    return in_fragment_order(decoded, PAIRS, fragment)


# --- on the CPU -----------------------------------------------------------------------------------


@lru_cache
def tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tables that invert the multiplied slots of one half-word.

    Returns (placed, low, high): ``low[fields]`` and ``high[low index, fields]`` index ``placed``,
    the masked bits; ``fields`` are the slots' bits, first slot lowest. The high half sees the
    carries of the low one.
    """
    size, factors = 2 ** len(REST_PLACES), [np.uint64(f) for f in FACTORS]
    placed = place_bits(np.arange(size), REST_PLACES).astype(np.uint64)

    def inverse(carries):
        fields = [
            take_bits(placed * f + c, TOP_PLACES) << (4 * i)
            for i, (f, c) in enumerate(zip(factors, carries, strict=True))
        ]
        table = np.full(size, -1, np.int16)
        table[np.bitwise_or.reduce(fields)] = np.arange(size)
        return table

    low = inverse([np.uint64(0)] * len(factors))
    high = np.stack(
        [inverse([placed[i] * f >> np.uint64(16) for f in factors]) for i in range(size)]
    )
    return placed.astype(np.uint32), low, high


def join_codes(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Codes uint8[..., 4] of both halves -> uint32 words of their top bits."""
    placed, low_table, high_table = tables()
    low, high = low >> 1, high >> 1
    word = np.zeros(low.shape[:-1], np.uint32)
    for half, top in ((0, low), (16, high)):
        word |= place_bits(top[..., 0], tuple(p + half for p in TOP_PLACES))
        word |= place_bits(top[..., 1], tuple(p + half + 3 for p in TOP_PLACES))
    rest_low = low_table[low[..., 2] | (low[..., 3] << 4)]
    rest_high = high_table[rest_low, high[..., 2] | (high[..., 3] << 4)]
    return word | placed[rest_low] | (placed[rest_high] << np.uint32(16))


# --- on the GPU -----------------------------------------------------------------------------------


@cuda.jit
def pack_words(canonical, placed, low, high, words, shape, numbers, widening):
    """words[tile, unit, lane, 2 part + row half]; top codes only."""
    i = u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x)
    tile, units = u32(cuda.blockIdx.y), u32(words.shape[1])
    if i >= units * u32(128):
        return
    v, lane, unit = i & u32(3), (i >> u32(2)) & u32(31), i >> u32(7)
    row = tile * u32(16) + (lane >> u32(2)) + u32(8) * (v & u32(1))
    column = unit * u32(64) + (lane & u32(3)) * u32(16) + (v >> u32(1)) * u32(8)
    word, rest = u32(0), u32(0)
    for half in range(2):
        start = column + u32(4 * half)
        a = wide_code_at(canonical, row, start, shape, numbers, widening) >> u32(1)
        b = wide_code_at(canonical, row, start + u32(1), shape, numbers, widening) >> u32(1)
        c = wide_code_at(canonical, row, start + u32(2), shape, numbers, widening) >> u32(1)
        d = wide_code_at(canonical, row, start + u32(3), shape, numbers, widening) >> u32(1)
        word |= device_place_bits(a, TOP_PLACES, 16 * half)
        word |= device_place_bits(b, TOP_PLACES, 16 * half + 3)
        both = c | (d << u32(4))
        rest = u32(low[both]) if half == 0 else u32(high[rest, both])
        word |= u32(placed[rest]) << u32(16 * half)
    words[tile, unit, lane, v] = word


@cuda.jit(device=True, inline="always")
def code_of(words, tails, row, column):
    """Code of one weight: what `pack_words` and the tails took."""
    unit, place = column >> u32(6), column & u32(63)
    lane = ((row & u32(7)) << u32(2)) | (place >> u32(4))
    v = (((place >> u32(3)) & u32(1)) << u32(1)) | ((row >> u32(3)) & u32(1))
    half, slot = (place >> u32(2)) & u32(1), place & u32(3)
    word = u32(words[row >> u32(4), unit, lane, v])
    turn = u32(4) * (unit & u32(3)) + v
    tail = u32(tails[row >> u32(4), unit >> u32(2), lane])
    shared = (tail >> ((u32(8) + u32(16) * half - turn) & u32(31))) & u32(1)
    rest = word & u32(REST)
    if slot == 1:
        word = u32(word >> u32(3)) | u32(word << u32(29))
    elif slot == 2:
        word = u32(rest * u32(FACTORS[0]))
    elif slot == 3:
        word = u32(rest * u32(FACTORS[1]))
    top = (word & u32(MASK)) >> (u32(16) * half)
    return code_of_half((top & u32(0xFFFF)) | (shared << u32(8)), 5)


FP4_25 = Form(
    "fp4.25",
    Minifloat(2, 2),
    group=4,
    has_tails=True,
    decode=decode_unit,
    host=HostWords(join_codes, slots_of, row_half_first=False),
    device=DeviceWords(pack_words, tables, code_of),
)
