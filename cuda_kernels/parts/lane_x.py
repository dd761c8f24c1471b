"""Where a lane's activations lie in shared memory."""

from numba import cuda

from cuda_kernels.forms.form import Form
from cuda_kernels.ptx import u32


def make_lane_x(form: Form, x_tiles: int):
    """Make the device function that finds a lane's activations in shared memory."""
    lane_bytes, wide = u32(4 * form.pairs), x_tiles == 2

    @cuda.jit(device=True, inline="always")
    def lane_x(x_at, batch, stride):
        """(address of the first column tile's, bytes from there to the second's).

        Columns past the batch repeat its last, and are not stored.
        """
        lane, last = u32(u32(cuda.threadIdx.x) & u32(31)), u32(batch - u32(1))
        g = u32(lane >> u32(2))
        row, beside = u32(min(g, last)), u32(0)
        if wide:
            beside = u32(u32(min(u32(g + u32(8)), last) - row) * stride)
        return u32(x_at + row * stride + u32(lane & u32(3)) * lane_bytes), beside

    return lane_x
