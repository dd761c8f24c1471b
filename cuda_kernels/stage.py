"""What a block brings to shared memory before it multiplies: activations, scales and bias."""

from numba import cuda

from cuda_kernels.forms import Form
from cuda_kernels.ptx import LOAD_PIECE, STORE_PIECE, f32, load_f32, store_shared_f32, u32, u64


def make_stage(form: Form):
    """Make the device function that brings a slice of the activations to shared memory."""
    load_piece, store_piece = LOAD_PIECE[form], STORE_PIECE[form]
    piece_weights, piece_bytes = form.piece_weights, 4 * form.pairs

    @cuda.jit(device=True, inline="always")
    def piece_of(i, source, pieces, shift, stride):
        """(global address, valid columns, place in shared memory, wanted) of piece i."""
        x, columns, batch, first_column = source
        row = u32(i >> shift)
        part = u32(i - (row << shift))
        k = u32(first_column + part * u32(piece_weights))
        wanted = u32(row < batch) * u32(part < pieces)
        address = u64(x + u64(2) * (u64(row) * u64(columns) + u64(k)))
        return (
            address,
            u32(u32(columns - k) * wanted),
            u32(row * stride + part * u32(piece_bytes)),
            wanted,
        )

    @cuda.jit(device=True, inline="always")
    def stage(source, pieces, shift, at, stride):
        """shared[n] = x[n, first_column:], zero past the end.

        source: (x, columns, batch, first_column); a row is ``pieces`` long, counted in steps of
        2^shift to spare a division. Four pieces per thread are in flight at a time.
        """
        threads, total = u32(cuda.blockDim.x), u32(source[2] << shift)
        i = u32(cuda.threadIdx.x)
        base = u32(0)
        while u32(base + u32(3) * threads) < total:
            from0, valid0, to0, wanted0 = piece_of(i, source, pieces, shift, stride)
            from1, valid1, to1, wanted1 = piece_of(u32(i + threads), source, pieces, shift, stride)
            from2, valid2, to2, wanted2 = piece_of(
                u32(i + u32(2) * threads), source, pieces, shift, stride
            )
            from3, valid3, to3, wanted3 = piece_of(
                u32(i + u32(3) * threads), source, pieces, shift, stride
            )
            piece0, piece1 = load_piece(from0, valid0), load_piece(from1, valid1)
            piece2, piece3 = load_piece(from2, valid2), load_piece(from3, valid3)
            store_piece(u32(at + to0), piece0, wanted0)
            store_piece(u32(at + to1), piece1, wanted1)
            store_piece(u32(at + to2), piece2, wanted2)
            store_piece(u32(at + to3), piece3, wanted3)
            base, i = u32(base + u32(4) * threads), u32(i + u32(4) * threads)
        while base < total:
            from0, valid0, to0, wanted0 = piece_of(i, source, pieces, shift, stride)
            store_piece(u32(at + to0), load_piece(from0, valid0), wanted0)
            base, i = u32(base + threads), u32(i + threads)

    return stage


def make_stage_rows():
    """Make the device function that brings scales and bias to shared memory."""

    @cuda.jit(device=True, inline="always")
    def stage_rows(scales, bias, first_row, rows, count, at):
        """shared[i] = (scales, bias)[first_row + i], 8 bytes each; zero past the last row."""
        base = u32(0)
        while base < count:
            i = u32(base + u32(cuda.threadIdx.x))
            row = u32(first_row + i)
            wanted = u32(i < count)
            inside = u32(row < rows) * wanted
            place = u64(u64(row * inside) * u64(4))
            offset = f32(0)
            if bias != u64(0):
                offset = f32(load_f32(u64(bias + place)) * f32(inside))
            store_shared_f32(u32(at + i * u32(8)), load_f32(u64(scales + place)), offset, wanted)
            base = u32(base + u32(cuda.blockDim.x))

    return stage_rows
