"""FP4.25 in kernels: a word holds the top bits of 8 weights, the shared bits lie apart.

Of a half-word's four slots the first is masked and the second shifted and masked. The third and
the fourth are products of the bits that are left over, masked: each factor moves all fields at
once. No carry of the low half reaches a bit of the high half that is kept.
"""

import numpy as np
from numba import cuda

from amssim.minifloat import Minifloat
from cuda_kernels.forms.bits import place_bits, ror
from cuda_kernels.forms.canonical import code_of_half, device_place_bits, wide_code_at
from cuda_kernels.forms.form import DeviceWords, Form, HostWords
from cuda_kernels.forms.fragments import in_fragment_order, slot_names
from cuda_kernels.ptx import load_word_if, u32, u64
from cuda_kernels.ptx.inline import Vector, ptx

MASK = 0x8E008E00
REST, FACTORS = 0x01FB01FB, (640, 4112)
SHARED_BITS = 0x01000100
#: where a decoded half holds the top bits of e2m2, low to high
TOP_PLACES = (9, 10, 11, 15)
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


def rest_of(third, fourth):
    """The bits that are left over of a half whose last two slots have these top bits.

    Times 4112, bits 5 to 7 and 3 become the fourth slot. Times 5 (640 is 5 x 128), bit 0 and sums
    of bits become the third: bit 1, 4 and 8 are what the others' sum lacks.
    """
    rest = (third & 1) | (((third >> 1) ^ (fourth >> 3)) & 1) << 1
    rest = rest | (fourth >> 3) << 3 | (fourth & 7) << 5
    rest = rest | (((third >> 2) ^ (rest * 5 >> 4)) & 1) << 4
    return rest | (((third >> 3) ^ (rest * 5 >> 8)) & 1) << 8


def join_codes(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Codes uint8[..., 4] of both halves -> uint32 words of their top bits."""
    word = np.zeros(low.shape[:-1], np.uint32)
    for half, codes in ((0, low), (16, high)):
        top = codes.astype(np.uint32) >> 1
        word |= place_bits(top[..., 0], tuple(p + half for p in TOP_PLACES))
        word |= place_bits(top[..., 1], tuple(p + half + 3 for p in TOP_PLACES))
        word |= rest_of(top[..., 2], top[..., 3]) << np.uint32(half)
    return word


# --- on the GPU -----------------------------------------------------------------------------------

device_rest_of = cuda.jit(device=True, inline="always")(rest_of)


@cuda.jit(device=True, inline="always")
def word_of(matrix, row, column):
    """The word of 8 weights, and their shared bits at 8 and 24."""
    word, shared = u32(0), u32(0)
    for half in range(2):
        start = u32(column + u32(4 * half))
        a = wide_code_at(matrix, row, start)
        b = u32(wide_code_at(matrix, row, u32(start + u32(1))) >> u32(1))
        c = u32(wide_code_at(matrix, row, u32(start + u32(2))) >> u32(1))
        d = u32(wide_code_at(matrix, row, u32(start + u32(3))) >> u32(1))
        word = u32(word | device_place_bits(u32(a >> u32(1)), TOP_PLACES, 16 * half))
        word = u32(word | device_place_bits(b, TOP_PLACES, 16 * half + 3))
        word = u32(word | u32(u32(device_rest_of(c, d)) << u32(16 * half)))
        shared = u32(shared | u32(u32(a & u32(1)) << u32(8 + 16 * half)))
    return word, shared


@cuda.jit(device=True, inline="always")
def code_of(stored, row, column):
    """Code of one weight: what `word_of` took."""
    words, tails, units = stored
    unit, place = u32(column >> u32(6)), u32(column & u32(63))
    lane = u32(u32(u32(row & u32(7)) << u32(2)) | u32(place >> u32(4)))
    v = u32(u32(u32(u32(place >> u32(3)) & u32(1)) << u32(1)) | u32(u32(row >> u32(3)) & u32(1)))
    half, slot = u32(u32(place >> u32(2)) & u32(1)), u32(place & u32(3))
    tile_unit = u64(u64(row >> u32(4)) * u64(units) + u64(unit))
    at = u64(u64(tile_unit * u64(32) + u64(lane)) * u64(4) + u64(v))
    word = u32(load_word_if(u64(words + at * u64(4)), u32(1)))
    burst = u64(tile_unit >> u64(2))
    tail = u32(load_word_if(u64(tails + (burst * u64(32) + u64(lane)) * u64(4)), u32(1)))
    turn = u32(u32(4) * u32(unit & u32(3)) + v)
    shared = u32(u32(tail >> u32(u32(u32(8) + u32(16) * half - turn) & u32(31))) & u32(1))
    rest = u32(word & u32(REST))
    turned = u32(u32(word >> u32(3)) | u32(word << u32(29)))
    bits = u32(word * u32(slot == u32(0)))
    bits = u32(bits | u32(turned * u32(slot == u32(1))))
    bits = u32(bits | u32(u32(rest * u32(FACTORS[0])) * u32(slot == u32(2))))
    bits = u32(bits | u32(u32(rest * u32(FACTORS[1])) * u32(slot == u32(3))))
    top = u32(u32(bits & u32(MASK)) >> u32(u32(16) * half))
    return code_of_half(u32(u32(top & u32(0xFFFF)) | u32(shared << u32(8))), 5)


FP4_25 = Form(
    "fp4.25",
    Minifloat(2, 2),
    group=4,
    has_tails=True,
    decode=decode_unit,
    host=HostWords(join_codes, slots_of, row_half_first=False),
    device=DeviceWords(word_of, code_of),
)
