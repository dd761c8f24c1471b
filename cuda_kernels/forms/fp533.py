"""FP5.33 in kernels: a word holds 6 weights with the shared bits of its two groups.

Of a half-word's three slots the first is masked and the second shifted and masked. The third is
two shifts of the whole word, xor each other and masked: linear in the word's bits, so that the
packer solves for the bits that are left over. It carries the shared bit of all three.
"""

import numpy as np
from numba import cuda

from amssim.minifloat import Minifloat
from cuda_kernels.forms.bits import place_bits
from cuda_kernels.forms.canonical import code_of_half, device_place_bits, wide_code_at
from cuda_kernels.forms.form import DeviceWords, Form, HostWords
from cuda_kernels.forms.fragments import in_fragment_order, slot_names
from cuda_kernels.ptx import load_word_if, u32, u64
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

_inlined = cuda.jit(device=True, inline="always")
device_own_slot, device_rest_of = _inlined(own_slot), _inlined(rest_of)


@cuda.jit(device=True, inline="always")
def word_of(matrix, row, column):
    """The word of 6 weights; no shared bits lie apart."""
    word, own = u32(0), u32(0)
    for half in range(2):
        start = u32(column + u32(3 * half))
        a = wide_code_at(matrix, row, start)
        b = u32(wide_code_at(matrix, row, u32(start + u32(1))) >> u32(1))
        c = u32(wide_code_at(matrix, row, u32(start + u32(2))) >> u32(1))
        word = u32(word | device_place_bits(u32(a >> u32(1)), TOP_PLACES, 16 * half))
        word = u32(word | device_place_bits(b, TOP_PLACES, 16 * half - 8))
        third = u32(u32(c << u32(1)) | u32(a & u32(1)))
        own = u32(own | device_place_bits(third, OWN_PLACES, 16 * half))
    rest = u32(device_rest_of(u32(own ^ u32(device_own_slot(word)))))
    return u32(word | rest), u32(0)


@cuda.jit(device=True, inline="always")
def code_of(stored, row, column):
    """Code of one weight: what `word_of` took."""
    words, _, units = stored
    unit = u32(column // u32(48))
    place = u32(column - unit * u32(48))
    t = u32(place // u32(12))
    place = u32(place - t * u32(12))
    part = u32(place // u32(6))
    place = u32(place - part * u32(6))
    half = u32(place // u32(3))
    slot = u32(place - half * u32(3))
    lane = u32(u32(u32(row & u32(7)) << u32(2)) | t)
    v = u32(u32(u32(row >> u32(2)) & u32(2)) | part)
    tile_unit = u64(u64(row >> u32(4)) * u64(units) + u64(unit))
    at = u64(u64(tile_unit * u64(32) + u64(lane)) * u64(4) + u64(v))
    word = u32(load_word_if(u64(words + at * u64(4)), u32(1)))
    own, mask = u32(device_own_slot(word)), u32(MASK)
    kept = u32(u32(word * u32(slot == u32(0))) | u32(u32(word << u32(8)) * u32(slot == u32(1))))
    taken = u32(u32(kept & mask) | u32(own & u32(~mask)))
    alone = u32(slot == u32(2))
    bits = u32(u32(own * alone) | u32(taken * u32(u32(1) - alone)))
    return code_of_half(u32(u32(bits >> u32(u32(16) * half)) & u32(0xFFFF)), 6)


FP5_33 = Form(
    "fp5.33",
    Minifloat(2, 3),
    group=3,
    has_tails=False,
    decode=decode_unit,
    host=HostWords(join_codes, slots_of, row_half_first=True),
    device=DeviceWords(word_of, code_of),
)
