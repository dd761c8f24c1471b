"""Activations that a block brings to shared memory before it multiplies."""

from numba import cuda

from amssim.launch.geometry import run_columns
from cuda_kernels.forms.form import Form
from cuda_kernels.ptx import (
    finish_copies,
    order_piece_of,
    start_copy,
    u32,
    u64,
)


def make_stage(form: Form):
    """Make the device function that brings a slice of the activations to shared memory.

    A warp brings *runs* of columns. Lanes copy 16 bytes side by side and put whole pieces in order
    when all have come: a lane that loaded its pieces itself would read each sector of memory two
    times (FP4.25) or three.
    """
    order_piece, piece_weights = order_piece_of(form.group), form.piece_weights
    columns_of_run = run_columns(form.group)
    copies, pieces = columns_of_run // 256, columns_of_run // piece_weights // 32  # per lane

    @cuda.jit(device=True, inline="always")
    def run_of(i, at, stride, shift):
        """(row, first column, its address in shared memory) of run i."""
        row = u32(i >> shift)
        first = u32(u32(i - (row << shift)) * u32(columns_of_run))
        return row, first, u32(at + row * stride + first * u32(2))

    @cuda.jit(device=True, inline="always")
    def copy_run(run, source, length):
        """Start to copy a run as it is in memory, zeros past the last column."""
        (x, k_columns, _, first_column), (row, first, to) = source, run
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        for i in range(copies):
            k = u32(first + lane * u32(8) + u32(256 * i))
            column = u32(first_column + k)
            here = u64(x + u64(2) * (u64(row) * u64(k_columns) + u64(column)))
            there = u32(to + lane * u32(16) + u32(512 * i))
            start_copy(there, here, u32(column < k_columns), u32(k < length))

    @cuda.jit(device=True, inline="always")
    def order_run(run, length):
        """Put the pieces of a run in order, each where it is."""
        _, first, at = run
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        for i in range(pieces):
            piece = u32(lane + u32(32 * i))
            here = u32(at + piece * u32(2 * piece_weights))
            order_piece(here, here, u32(u32(first + piece * u32(piece_weights)) < length))

    @cuda.jit(device=True, inline="always")
    def stage(source, length, shift, at, stride):
        """shared[n] = x[n, first_column:][:length] in pair order, zero past the last column.

        source: (x, k_columns, batch, first_column); a row is counted as 2^shift runs to spare a
        division. All copies that this warp has started, of weights too, have then ended.
        """
        warps, total = u32(u32(cuda.blockDim.x) >> u32(5)), u32(source[2] << shift)
        i = u32(u32(cuda.threadIdx.x) >> u32(5))
        while i < total:
            copy_run(run_of(i, at, stride, shift), source, length)
            i = u32(i + warps)
        finish_copies()
        i = u32(u32(cuda.threadIdx.x) >> u32(5))
        while i < total:
            order_run(run_of(i, at, stride, shift), length)
            i = u32(i + warps)

    return stage
