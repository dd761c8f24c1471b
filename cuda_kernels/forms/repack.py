"""Canonical words -> the words of a kernel form on the GPU.

Plain numba.cuda, one thread per word; what it writes equals what `cuda_kernels.forms.host`
packs bit for bit.
"""

import numpy as np
from numba import cuda

from amssim.launch.geometry import BURST
from amssim.layout import Layout
from amssim.scheme import Scheme
from cuda_kernels.forms import host
from cuda_kernels.forms.form import FP4_25, Form
from cuda_kernels.plain.generic import code_at, launch, u32
from cuda_kernels.ptx import decode

THREADS = 256
rest_533, own_533 = (cuda.jit(device=True)(f) for f in (host.rest_533, decode.own_533))


def canonical_form(scheme: Scheme) -> tuple:
    """(k, field bits, weights and half-words of a block, shared bit) for `generic.code_at`."""
    layout = Layout(scheme)
    shared = layout.shared_offset or 0
    numbers = (scheme.k, layout.field_bits, layout.block_weights, layout.block_words, shared)
    return tuple(np.uint32(n) for n in numbers)


@cuda.jit(device=True, inline="always")
def form_code(canonical, row, column, shape, form, widen):
    """Code in the kernel form's minifloat; 0 outside the matrix."""
    if row < shape[0] and column < shape[1]:
        return code_at(canonical, row, column, form) << widen
    return u32(0)


@cuda.jit(device=True, inline="always")
def spread(value, places, offset):
    """Bit i of ``value`` to bit places[i] + offset (modulo 32)."""
    out = u32(0)
    for i in range(len(places)):
        out |= u32((value >> u32(i)) & u32(1)) << (u32(places[i] + offset) & u32(31))
    return out


@cuda.jit
def pack_425(canonical, placed, low, high, words, shape, form, widen):
    """words[tile, unit, lane, 2 sub + row half] of FP4.25; top codes only."""
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
        a = form_code(canonical, row, start, shape, form, widen) >> u32(1)
        b = form_code(canonical, row, start + u32(1), shape, form, widen) >> u32(1)
        c = form_code(canonical, row, start + u32(2), shape, form, widen) >> u32(1)
        d = form_code(canonical, row, start + u32(3), shape, form, widen) >> u32(1)
        word |= spread(a, host.LOW_425, 16 * half) | spread(b, host.LOW_425, 16 * half + 3)
        both = c | (d << u32(4))
        rest = u32(low[both]) if half == 0 else u32(high[rest, both])
        word |= u32(placed[rest]) << u32(16 * half)
    words[tile, unit, lane, v] = word


@cuda.jit
def pack_tails(canonical, tails, shape, form, widen):
    """tails[tile, burst, lane]: the shared bits of the 32 groups of a lane's four units."""
    i = u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x)
    tile = u32(cuda.blockIdx.y)
    if i >= u32(tails.shape[1]) * u32(32):
        return
    lane, burst = i & u32(31), i >> u32(5)
    tail = u32(0)
    for number in range(32):
        unit, v, half = u32(number >> 3), u32(number >> 1) & u32(3), u32(number & 1)
        row = tile * u32(16) + (lane >> u32(2)) + u32(8) * (v & u32(1))
        column = (burst * u32(BURST) + unit) * u32(64) + (lane & u32(3)) * u32(16)
        column += (v >> u32(1)) * u32(8) + half * u32(4)
        bit = form_code(canonical, row, column, shape, form, widen) & u32(1)
        place = (u32(8) + u32(16) * half - u32(4) * unit - v) & u32(31)
        tail |= bit << place
    tails[tile, burst, lane] = tail


@cuda.jit
def pack_533(canonical, words, shape, form, widen):
    """words[tile, unit, lane, 2 row half + sub] of FP5.33."""
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
        a = form_code(canonical, row, start, shape, form, widen)
        b = form_code(canonical, row, start + u32(1), shape, form, widen) >> u32(1)
        c = form_code(canonical, row, start + u32(2), shape, form, widen) >> u32(1)
        word |= spread(a >> u32(1), host.LOW_533, 16 * half)
        word |= spread(b, host.LOW_533, 16 * half - 8)
        own |= spread((c << u32(1)) | (a & u32(1)), host.OWN_533, 16 * half)
    words[tile, unit, lane, v] = word | u32(rest_533(own ^ u32(own_533(word))))


def pack(canonical, scheme: Scheme, form: Form, shape: tuple[int, int]):
    """Canonical words uint16[rows, half-words] on the GPU -> (words, tails) there."""
    tiles, units = form.tiles(shape[0]), form.units(shape[1])
    words = cuda.device_array((tiles, units, 32, 4), np.uint32)
    bursts = (tiles, units // BURST) if form.has_tails else (1, 1)  # an array needs some element
    tails = cuda.device_array((*bursts, 32), np.uint32)
    size = tuple(np.uint32(n) for n in shape)
    widen = np.uint32(form.element.mantissa_bits - scheme.minifloat.mantissa_bits)
    kernel, tables = pack_533, ()
    if form is FP4_25:
        kernel, tables = pack_425, tuple(cuda.to_device(t) for t in host.tables_425())
    source = canonical_form(scheme)
    grid = (-(-units * 128 // THREADS), tiles)
    launch(kernel, grid, THREADS, 0, canonical, *tables, words, size, source, widen)
    if form.has_tails:
        grid = (-(-units * 8 // THREADS), tiles)
        launch(pack_tails, grid, THREADS, 0, canonical, tails, size, source, widen)
    cuda.synchronize()  # a kernel may read its weights before the grid ahead of it has ended
    return words, tails
