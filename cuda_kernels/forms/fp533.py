"""FP5.33 in kernels: a word holds 6 weights with the shared bits of its two groups.

Of a half-word's three slots the first is masked and the second shifted and masked. The third is
two shifts of the whole word, xor each other and masked: linear in the word's bits, so that the
packer solves for the bits that are left over. It carries the shared bit of all three.
"""

import numpy as np
from numba import cuda

from amssim.minifloat import Minifloat
from cuda_kernels.forms.bits import place_bits
from cuda_kernels.forms.canonical import code_of_half, device_place_bits, u32, wide_code_at
from cuda_kernels.forms.form import DeviceWords, Form, HostWords
from cuda_kernels.forms.fragments import in_fragment_order, slot_names
from cuda_kernels.ptx.inline import Vector, ptx

MASK = 0x8F008F00
OWN = 0x8F808F80
TOP_PLACES = (8, 9, 10, 11, 15)  # where a decoded half holds the top bits of e2m3, low to high
OWN_PLACES = (7, *TOP_PLACES)  # with the shared bit
PAIRS = 6

# --- decoding -------------------------------------------------------------------------------------


def own_slot(word):
    """uint32 word of 6 weights -> the third half2, linear in the word's bits."""
    return ((word << 3) ^ (word >> 3)) & OWN


def slots_of(word: np.ndarray, shared: None = None) -> tuple[np.ndarray, ...]:
    """uint32 word of 6 weights -> 3 half2; no shared bits lie apart."""
    own, mask = own_slot(word), np.uint32(MASK)
    return (*((s & mask) | (own & ~mask) for s in (word, word << np.uint32(8))), own)


def fragment(j: int, r: int) -> tuple[int, int]:
    """(word, slot) of register r of the unit's mma number j."""
    q = 2 * j + (r >> 1)
    return q // 3 + 2 * (r & 1), q % 3


def _text() -> str:
    out = slot_names(PAIRS, fragment)
    lines = ["{ .reg .b32 r, s;"]
    for v in range(4):
        word, select = f"$words.{v}", f"{MASK:#x}, {out[v, 2]}, 0xE2;"
        lines += [
            f"shl.b32 r, {word}, 3; shr.u32 s, {word}, 3;",
            f"lop3.b32 {out[v, 2]}, r, s, {OWN:#x}, 0x28;",
            f"lop3.b32 {out[v, 0]}, {word}, {select}",
            f"shl.b32 r, {word}, 8; lop3.b32 {out[v, 1]}, r, {select}",
        ]
    return "\n\t".join(lines) + " }"


@ptx(_text())
def decode_unit(words: Vector(u32, 4), tail: u32) -> Vector(u32, 12):
    """A lane's words of an FP5.33 unit -> fragments; ``tail`` is not used."""
    return in_fragment_order([slots_of(np.asarray(w)) for w in words], PAIRS, fragment)


# --- on the CPU -----------------------------------------------------------------------------------


def rest_of(own):
    """The bits 4 to 6 and 12 to 14 of each half that `own_slot` turns into ``own``.

    Bits 4, 5, 6, 12, 13 and 14 become 7, 8, 9, 15, 10 and 11; bit 12 is added to bit 9, too.
    """
    rest = ((own >> 3) & 0x10701070) | ((own << 3) & 0x60006000)
    return rest ^ ((rest >> 6) & 0x00400040)


def join_codes(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Codes uint8[..., 3] of both halves, the shared bit in each half's first -> uint32 words."""
    word = np.zeros(low.shape[:-1], np.uint32)
    own = np.zeros_like(word)
    for half, codes in ((0, low), (16, high)):
        word |= place_bits(codes[..., 0] >> 1, tuple(p + half for p in TOP_PLACES))
        word |= place_bits(codes[..., 1] >> 1, tuple(p + half - 8 for p in TOP_PLACES))
        third = (codes[..., 2] & 0xFE) | (codes[..., 0] & 1)
        own |= place_bits(third, tuple(p + half for p in OWN_PLACES))
    return word | rest_of(own ^ own_slot(word))


# --- on the GPU -----------------------------------------------------------------------------------

device_own_slot, device_rest_of = (cuda.jit(device=True)(f) for f in (own_slot, rest_of))


@cuda.jit
def pack_words(canonical, words, shape, numbers, widening):
    """words[tile, unit, lane, 2 row half + part]."""
    i = u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x)
    tile, units = u32(cuda.blockIdx.y), u32(words.shape[1])
    if i >= units * u32(128):
        return
    v, lane, unit = i & u32(3), (i >> u32(2)) & u32(31), i >> u32(7)
    row = tile * u32(16) + (lane >> u32(2)) + u32(8) * (v >> u32(1))
    column = unit * u32(48) + (lane & u32(3)) * u32(12) + (v & u32(1)) * u32(6)
    word, own = u32(0), u32(0)
    for half in range(2):
        start = column + u32(3 * half)
        a = wide_code_at(canonical, row, start, shape, numbers, widening)
        b = wide_code_at(canonical, row, start + u32(1), shape, numbers, widening) >> u32(1)
        c = wide_code_at(canonical, row, start + u32(2), shape, numbers, widening) >> u32(1)
        word |= device_place_bits(a >> u32(1), TOP_PLACES, 16 * half)
        word |= device_place_bits(b, TOP_PLACES, 16 * half - 8)
        own |= device_place_bits((c << u32(1)) | (a & u32(1)), OWN_PLACES, 16 * half)
    words[tile, unit, lane, v] = word | u32(device_rest_of(own ^ u32(device_own_slot(word))))


@cuda.jit(device=True, inline="always")
def code_of(words, tails, row, column):
    """Code of one weight: what `pack_words` took."""
    unit = column // u32(48)
    place = column - unit * u32(48)
    t = place // u32(12)
    place = place - t * u32(12)
    part = place // u32(6)
    place = place - part * u32(6)
    half = place // u32(3)
    slot = place - half * u32(3)
    lane = ((row & u32(7)) << u32(2)) | t
    word = u32(words[row >> u32(4), unit, lane, ((row >> u32(2)) & u32(2)) | part])
    own = u32(device_own_slot(word))
    mask, bits = u32(MASK), own
    if slot == 0:
        bits = (word & mask) | (own & ~mask)
    elif slot == 1:
        bits = (u32(word << u32(8)) & mask) | (own & ~mask)
    return code_of_half((bits >> (u32(16) * half)) & u32(0xFFFF), 6)


FP5_33 = Form(
    "fp5.33",
    Minifloat(2, 3),
    group=3,
    has_tails=False,
    decode=decode_unit,
    host=HostWords(join_codes, slots_of, row_half_first=True),
    device=DeviceWords(pack_words, lambda: (), code_of),
)
