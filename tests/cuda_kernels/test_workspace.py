"""Activations that must be normalised: one workspace per device and stream, for all matrices."""

import threading
import time
from ctypes import c_void_p

import numpy as np
import pytest
from fake_gpu import Tensor
from hypothesis import given
from hypothesis import strategies as st

import amssim
from cuda_kernels.driver import DriverLaunch
from cuda_kernels.matrix import Matrix
from cuda_kernels.normalize.workspace import SMALLEST_BYTES, Workspace, workspace_of

X, OUT = 1 << 20, 1 << 21


def matrix(columns=256, rows=64):
    packed = amssim.quantize(np.ones((rows, columns), np.float32), "fp4.25")
    return Matrix(packed.scheme, packed.shape, packed.words, packed.scales)


def bfloat16(weights, batch=2, stream=1):
    rows, columns = weights.shape
    x = Tensor((batch, columns), X, "torch.bfloat16")
    weights.gemv(x, Tensor((batch, rows), OUT), stream=stream)


def places(gpu):
    """Where each normalisation wrote."""
    return [n.arguments["out"] for n in gpu.launches if n.kernel == "normalize"]


def test_matrices_share_the_workspace_of_a_stream(noting_gpu):
    """It fails if each matrix has one of its own."""
    for weights in (matrix(), matrix(512), matrix(256, 128)):
        for batch in (1, 2, 8):
            bfloat16(weights, batch)
    assert len(places(noting_gpu)) == 9
    assert len(set(places(noting_gpu))) == 1
    assert workspace_of(0, 1).nbytes == SMALLEST_BYTES


def test_streams_have_workspaces_of_their_own(noting_gpu):
    first, second = matrix(), matrix()
    for weights in (first, second):
        for stream in (1, 2):
            bfloat16(weights, stream=stream)
    one, two, again_one, again_two = places(noting_gpu)
    assert (one, two) == (again_one, again_two)
    assert one != two
    assert workspace_of(0, 1) is not workspace_of(0, 2)


def test_the_product_reads_what_was_normalised(noting_gpu):
    bfloat16(matrix())
    normalized, product = noting_gpu.launches
    assert normalized.stream == product.stream == 1
    assert normalized.arguments["x"] == X
    assert product.arguments["x"] == normalized.arguments["out"]
    assert product.arguments["x_scales"] == normalized.arguments["scales"]
    assert normalized.grid == (1, 2), "a block for each row"


def test_rows_and_scales_do_not_overlap(noting_gpu):
    weights = matrix(136)
    for batch in range(1, 20):
        bfloat16(weights, batch)
    for launch in noting_gpu.launches:
        if launch.kernel == "normalize":
            rows = launch.arguments
            assert rows["out"] % 16 == 0 and rows["scales"] % 4 == 0
            assert rows["scales"] >= rows["out"] + 2 * launch.grid[1] * rows["padded"]


def test_growth_moves_what_comes_and_leaves_what_is_queued(noting_gpu):
    """A graph that has captured the old address finds it as it was."""
    small, wide = matrix(), matrix(2**15, 16)
    bfloat16(small)
    bfloat16(wide, 64)
    bfloat16(small)
    before, grown, after = places(noting_gpu)
    assert before != grown == after
    space = workspace_of(0, 1)
    assert space.nbytes >= SMALLEST_BYTES + 64 * 2**15 * 2, "the old one is still there"


class Allocation:
    """As much of a device array as a workspace looks at."""

    def __init__(self, nbytes, address):
        self.nbytes, self.device_ctypes_pointer = nbytes, c_void_p(address)


class Allocator:
    """Memory that counts up, and knows what was asked for."""

    def __init__(self):
        self.top, self.sizes = 4096, []

    def __call__(self, nbytes):
        array = Allocation(nbytes, self.top)
        self.top += nbytes
        self.sizes.append(nbytes)
        return array


@given(st.lists(st.integers(1, 2**26), min_size=1, max_size=30))
def test_what_was_outgrown_is_smaller_than_what_is_in_use(wanted):
    allocate = Allocator()
    space = Workspace(allocate)
    for nbytes in wanted:
        room = space.room(nbytes)
        assert room + nbytes <= allocate.top, "inside the last allocation"
        assert space.room(nbytes) == room
    assert sum(allocate.sizes[:-1]) < allocate.sizes[-1]
    assert space.nbytes == sum(allocate.sizes)
    assert allocate.sizes[-1] <= max(2 * max(wanted), SMALLEST_BYTES)


def test_a_failed_allocation_leaves_the_workspace_as_it_was():
    space = Workspace(Allocator())
    before = space.room(10)

    def fails(nbytes):
        raise MemoryError

    space._allocate = fails
    with pytest.raises(MemoryError):
        space.room(2**30)
    assert space.room(10) == before


def test_threads_on_one_stream_do_not_mix_their_pairs(noting_gpu, monkeypatch):
    """Each normalisation is followed by its own product, whatever other threads launch."""
    weights = [matrix(), matrix()]
    for one in weights:
        bfloat16(one)
    noting_gpu.launches.clear()
    launch = DriverLaunch.__call__

    def slowly(self, *arguments):
        launch(self, *arguments)
        time.sleep(0.002)  # another thread comes now, if it may

    monkeypatch.setattr(DriverLaunch, "__call__", slowly)
    threads = [
        threading.Thread(target=lambda one=one: [bfloat16(one) for _ in range(10)])
        for one in weights
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [launch.kernel for launch in noting_gpu.launches]
    assert names == ["normalize", "gemv"] * 20
