"""Words of a unit -> mma fragments: 10 instructions per 8 weights (FP4.25), 6 per 6 (FP5.33).

Two slots of a word need no more than a shift and a mask, the first not even a shift. What the bits
that are left over become is no shift of the fields but a bijection of them, which
`cuda_kernels.forms.host` inverts when it packs: a product (FP4.25), or two shifts of the whole
word xor each other (FP5.33). The constants were found by exhaustive search. The pipe of logic is
the busy one, with 7 (FP4.25) or 4 instructions per word; shifts to the left and products run on
another.
"""

import numpy as np

from cuda_kernels.emulator.lanes import lanes
from cuda_kernels.forms import FP4_25, FP5_33
from cuda_kernels.ptx.inline import Vector, ptx, u32

MASK_425 = 0x8E008E00
REST_425, FACTORS_425 = 0x01FB01FB, (640, 4112)
SHARED_425 = 0x01000100

MASK_533 = 0x8F008F00
OWN_533 = 0x8F808F80


def ror(word: np.ndarray, count: int) -> np.ndarray:
    """Rotate 32-bit words right."""
    word = np.asarray(word, np.uint32)
    return (word >> np.uint32(count)) | (word << np.uint32(32 - count)) if count else word


def slots_425(word: np.ndarray, shared: np.ndarray) -> tuple:
    """uint32 word of 8 weights -> 4 half2; ``shared`` holds its two shared bits at 8 and 24."""
    rest = word & np.uint32(REST_425)
    spread = [word, ror(word, 3), *(rest * np.uint32(f) for f in FACTORS_425)]
    return tuple((s & np.uint32(MASK_425)) | shared for s in spread)


def own_533(word):
    """uint32 word of 6 weights -> the third half2, linear in the word's bits."""
    return ((word << 3) ^ (word >> 3)) & OWN_533


def slots_533(word: np.ndarray) -> tuple:
    """uint32 word of 6 weights -> 3 half2; the third carries the shared bits of all."""
    own, mask = own_533(word), np.uint32(MASK_533)
    return (*((s & mask) | (own & ~mask) for s in (word, word << np.uint32(8))), own)


def fragment_425(j: int, r: int) -> tuple[int, int]:
    """(word, slot) of register r of the unit's mma number j."""
    q = 2 * j + (r >> 1)
    return 2 * (q // 4) + (r & 1), q % 4


def fragment_533(j: int, r: int) -> tuple[int, int]:
    """(word, slot) of register r of the unit's mma number j."""
    q = 2 * j + (r >> 1)
    return q // 3 + 2 * (r & 1), q % 3


def _slot_names(pairs: int, fragment) -> dict[tuple[int, int], str]:
    places = [(j, r) for j in range(pairs // 2) for r in range(4)]
    return {fragment(j, r): f"$out.{4 * j + r}" for j, r in places}


def _text_425() -> str:
    out = _slot_names(8, fragment_425)
    lines = ["{ .reg .b32 s, r;"]
    for v in range(4):
        word, combine = f"$words.{v}", f"{MASK_425:#x}, s, 0xEA;"
        turn = f"shl.b32 s, $tail, {v};" if v else "mov.b32 s, $tail;"
        lines += [
            f"{turn} and.b32 s, s, {SHARED_425:#x};",
            f"lop3.b32 {out[v, 0]}, {word}, {combine}",
            f"shf.r.wrap.b32 r, {word}, {word}, 3; lop3.b32 {out[v, 1]}, r, {combine}",
            f"and.b32 r, {word}, {REST_425:#x};",
            f"mul.lo.u32 {out[v, 2]}, r, {FACTORS_425[0]};",
            f"lop3.b32 {out[v, 2]}, {out[v, 2]}, {combine}",
            f"mul.lo.u32 {out[v, 3]}, r, {FACTORS_425[1]};",
            f"lop3.b32 {out[v, 3]}, {out[v, 3]}, {combine}",
        ]
    return "\n\t".join(lines) + " }"


def _text_533() -> str:
    out = _slot_names(6, fragment_533)
    lines = ["{ .reg .b32 r, s;"]
    for v in range(4):
        word, select = f"$words.{v}", f"{MASK_533:#x}, {out[v, 2]}, 0xE2;"
        lines += [
            f"shl.b32 r, {word}, 3; shr.u32 s, {word}, 3;",
            f"lop3.b32 {out[v, 2]}, r, s, {OWN_533:#x}, 0x28;",
            f"lop3.b32 {out[v, 0]}, {word}, {select}",
            f"shl.b32 r, {word}, 8; lop3.b32 {out[v, 1]}, r, {select}",
        ]
    return "\n\t".join(lines) + " }"


def _ordered(slots: list, pairs: int, fragment) -> tuple:
    places = [fragment(j, r) for j in range(pairs // 2) for r in range(4)]
    return tuple(lanes(slots[word][slot], np.uint32) for word, slot in places)


@ptx(_text_425())
def decode_425(words: Vector(u32, 4), tail: u32) -> Vector(u32, 16):
    """A lane's words of an FP4.25 unit -> fragments; ``tail`` holds the shared bits of word v at
    8 - v and 24 - v."""
    shared = [(tail << np.uint32(v)) & np.uint32(SHARED_425) for v in range(4)]
    slots = [slots_425(np.asarray(w), s) for w, s in zip(words, shared, strict=True)]
    return _ordered(slots, 8, fragment_425)


@ptx(_text_533())
def decode_533(words: Vector(u32, 4), tail: u32) -> Vector(u32, 12):
    """A lane's words of an FP5.33 unit -> fragments; ``tail`` is not used."""
    return _ordered([slots_533(np.asarray(w)) for w in words], 6, fragment_533)


#: form -> its decode function
DECODE = {FP4_25: decode_425, FP5_33: decode_533}
