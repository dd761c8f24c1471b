"""Decoded fragments -> rows of float16, bfloat16 or float32, and 16-bit data as it comes."""

from functools import cache

import numpy as np

from cuda_kernels.emulator.lanes import WARP, lanes
from cuda_kernels.ptx.inline import Vector, f32, ptx, u16, u32, u64
from cuda_kernels.ptx.memory import rounded
from cuda_kernels.ptx.pieces import pair_order


def _register_of(group: int) -> dict[tuple[int, int], tuple[int, int]]:
    """(row half, column of the piece) -> (register, half) of a decoded unit."""
    places = {}
    for j in range(group):
        for r in range(4):
            columns = pair_order(group)[2 * j + (r >> 1)]
            for half in range(2):
                places[r & 1, columns[half]] = (4 * j + r, half)
    return places


@cache
def scatter_of(group: int, dtype: str, factor: float):
    """Make the function that writes decoded weights to shared memory in column order.

    Args:
        group: weights of a half-word.
        dtype: of what is written.
        factor: that decoded weights are multiplied by, beside their scale.
    """
    registers, count = _register_of(group), 4 * group
    size = 4 if dtype == "float32" else 2
    kind = {"float16": "f16x2", "bfloat16": "bf16x2"}.get(dtype)
    lines = ["{ .reg .b16 h; .reg .b16 l; .reg .f32 f0, f1; .reg .b32 w0, w1; .reg .f32 a, b;"]
    lines += [f"mul.f32 a, $above, 0f{_bits(factor)}; mul.f32 b, $below, 0f{_bits(factor)};"]
    for half, scale, base in ((0, "a", "$to"), (1, "b", "$to_below")):
        for c in range(0, count, 8 // size):
            for i in range(8 // size):
                register, side = registers[half, c + i]
                value = f"f{i % 2}"
                lines.append(f"mov.b32 {{l, h}}, $fragments.{register};")
                lines.append(f"cvt.f32.f16 {value}, {'h' if side else 'l'};")
                lines.append(f"mul.f32 {value}, {value}, {scale};")
                if size == 4:
                    lines.append(f"mov.b32 w{i}, {value};")
                elif i % 2:
                    lines.append(f"cvt.rn.{kind}.f32 w{i // 2}, f1, f0;")
            lines.append(f"st.shared.v2.u32 [{base} + {c * size}], {{w0, w1}};")

    @ptx("\n\t".join(lines) + " }", ordered=True)
    def scatter(to: u32, to_below: u32, fragments: Vector(u32, 4 * group), above: f32, below: f32):
        """A lane's pieces of rows g and g + 8, each times its scale, in column order.

        The scale is taken times the factor first; with 2^14 that is exact below 2^114.
        """
        words = np.stack([np.asarray(f, np.uint32) for f in fragments], axis=1)
        halves = np.ascontiguousarray(words).view(np.float16).reshape(32, -1, 2)
        with np.errstate(over="ignore", invalid="ignore"):
            for half, scale, place in ((0, above, to), (1, below, to_below)):
                whole = np.asarray(lanes(scale, np.float32)) * np.float32(factor)
                columns = [halves[:, *registers[half, c]].astype(np.float32) for c in range(count)]
                data = np.stack([rounded(c * whole, dtype) for c in columns], axis=1)
                pairs = np.ascontiguousarray(data).view(np.uint32).T
                for i in range(0, len(pairs), 2):
                    WARP.shared.store(place + np.uint32(4 * i), tuple(pairs[i : i + 2]))

    return scatter


def _bits(value: float) -> str:
    return f"{int(np.float32(value).view(np.uint32)):08X}"


@ptx(
    "{ .reg .pred p; .reg .b32 a, b, c, d; setp.ne.u32 p, $wanted, 0;"
    " ld.shared.v4.u32 {a, b, c, d}, [$source];"
    " @p st.global.cs.v4.u32 [$address], {a, b, c, d}; }",
    ordered=True,
)
def copy_out(address: u64, source: u32, wanted: u32):
    """16 bytes of shared memory to global memory where ``wanted``; they are not read soon."""
    words = WARP.shared.load(source, 4)
    WARP.memory.store(address, words, np.uint32, lanes(wanted, np.uint32) != 0)


@ptx("mov.b32 $out, $bits;")
def as_f32(bits: u32) -> f32:
    """The float32 with these bits."""
    return lanes(np.asarray(lanes(bits, np.uint32)).view(np.float32), np.float32)


@ptx(
    "{ .reg .pred p; setp.ne.u32 p, $wanted, 0; mov.b16 $out, 0;"
    " @p ld.global.cg.u16 $out, [$address]; }",
    ordered=True,
)
def load_half_if(address: u64, wanted: u32) -> u16:
    """16 bits where ``wanted``, else 0."""
    active = np.asarray(lanes(wanted, np.uint32) != 0)
    bits = WARP.memory.load(address, 1, np.uint16, active)[0]
    return lanes(np.where(active, bits, 0), np.uint16)


@ptx(
    "{ .reg .pred p; setp.ne.u32 p, $wanted, 0; @p st.global.u16 [$address], $bits; }",
    ordered=True,
)
def store_half_if(address: u64, bits: u16, wanted: u32):
    """16 bits to global memory where ``wanted``."""
    WARP.memory.store(address, (bits,), np.uint16, lanes(wanted, np.uint32) != 0)


@ptx(
    "{ .reg .pred p; setp.ne.u32 p, $wanted, 0; @p st.global.u32 [$address], $bits; }",
    ordered=True,
)
def store_word_if(address: u64, bits: u32, wanted: u32):
    """32 bits to global memory where ``wanted``."""
    WARP.memory.store(address, (bits,), np.uint32, lanes(wanted, np.uint32) != 0)


@ptx("cvt.f32.f16 $out, $bits;")
def f32_of_half(bits: u16) -> f32:
    """The value of float16 bits."""
    halves = np.asarray(lanes(bits, np.uint16)).view(np.float16)
    return lanes(halves.astype(np.float32), np.float32)
