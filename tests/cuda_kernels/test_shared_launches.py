"""Launches that all matrices of a shape share, in memory of the caller: as the driver sees them."""

import threading
import time

import numpy as np
import pytest
from fake_gpu import Tensor
from hypothesis import given
from hypothesis import strategies as st
from loaded import forget

import amssim
from amssim.errors import InputError, ResourceError
from cuda_kernels.batches import linear, workspace_nbytes, write_weights
from cuda_kernels.dense.multiply import panel_counts, panel_rows
from cuda_kernels.dense.panel import dense_panel
from cuda_kernels.driver import on_device
from cuda_kernels.layouts import Addresses, kernel_layout
from cuda_kernels.loading import prepare
from cuda_kernels.matrix import Matrix
from cuda_kernels.normalize.launch import normalization, workspace_sizes
from cuda_kernels.product import ready_product

X, OUT, ROOM = 1 << 20, 1 << 21, 1 << 22
ONE, OTHER = Addresses(4096, 8192, 12288, 16384), Addresses(256, 512, 768)


def matrix(rows=64, columns=256, scheme="fp4.25"):
    packed = amssim.quantize(np.ones((rows, columns), np.float32), scheme)
    return Matrix(packed.scheme, packed.shape, packed.words, packed.scales)


def of_weights(launch):
    return tuple(launch.arguments[name] for name in ("weights", "tails", "scales", "bias"))


# --- shapes --------------------------------------------------------------------------------------


def test_matrices_of_a_shape_share_a_launch(noting_gpu):
    first, second, wide = matrix(), matrix(), matrix(columns=512)
    assert first.layout is second.layout is not wide.layout
    for weights in (first, second, first, wide):
        columns = weights.shape[1]
        weights.gemv(Tensor((columns,), X), Tensor((64,), OUT), stream=1)
    found = [of_weights(launch) for launch in noting_gpu.launches]
    expected = [m.weights.addresses for m in (first, second, first, wide)]
    assert found == [tuple(addresses) for addresses in expected]
    assert len(set(found)) == 3
    assert noting_gpu.loaded == [(0, "gemv")], "one kernel serves them all"


def test_each_call_has_weights_of_its_own(noting_gpu):
    layout = kernel_layout(0, "fp4.25", 64, 256)
    product = ready_product(layout, "float16", "float16", 2)
    assert ready_product(layout, "float16", "float16", 2) is product
    for weights in (ONE, OTHER, ONE, ONE):
        product(5, weights, X, OUT)
    assert [of_weights(launch) for launch in noting_gpu.launches] == [
        tuple(weights) for weights in (ONE, OTHER, ONE, ONE)
    ]


def test_a_layout_is_told_by_all_that_it_is_made_of(noting_gpu):
    one = kernel_layout(0, "fp4.25", 64, 256)
    assert kernel_layout(0, amssim.scheme("fp4.25"), 64, 256) is one
    others = [(1, "fp4.25", 64, 256), (0, "fp5.33", 64, 256), (0, "fp4.25", 65, 256),
              (0, "fp4.25", 64, 257), (0, "fp4.25", 64, 256, 64)]  # fmt: skip
    assert all(kernel_layout(*other) is not one for other in others)
    with pytest.raises(InputError, match="no matrix of 0x5"):
        kernel_layout(0, "fp4.25", 0, 5)


def test_threads_on_one_launch_do_not_mix_their_arguments(noting_gpu, monkeypatch):
    product = ready_product(kernel_layout(0, "fp4.25", 64, 256), "float16", "float16", 1)
    call = noting_gpu.cuLaunchKernelEx

    def slowly(*arguments):
        time.sleep(0.001)  # another thread comes now, if it may
        return call(*arguments)

    product.single.driver_call = lambda: slowly(*block)
    block = (
        _by_reference(product.single._config),
        product.single._function.handle,
        product.single._parameters,
        None,
    )

    def work(weights, stream):
        for i in range(20):
            product(stream, weights, X + 16 * i, OUT + i)

    threads = [threading.Thread(target=work, args=a) for a in ((ONE, 1), (OTHER, 2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for stream, weights in ((1, ONE), (2, OTHER)):
        mine = [launch for launch in noting_gpu.launches if launch.stream == stream]
        assert {of_weights(launch) for launch in mine} == {tuple(weights)}
        assert [la.arguments["x"] for la in mine] == [X + 16 * i for i in range(20)]
        assert [la.arguments["out"] for la in mine] == [OUT + i for i in range(20)]


def _by_reference(config):
    import ctypes

    return ctypes.byref(config)


# --- workspaces ----------------------------------------------------------------------------------


def test_the_workspace_comes_with_the_call(noting_gpu):
    layout = kernel_layout(0, "fp4.25", 64, 256)
    product = ready_product(layout, "bfloat16", "bfloat16", 3)
    assert product.workspace_nbytes(X) == workspace_nbytes(layout, "bfloat16", 3)
    for room in (ROOM, 2 * ROOM):
        product(7, ONE, X, OUT, room)
    first, multiplied, second, again = noting_gpu.launches
    for normalized, used, room in ((first, multiplied, ROOM), (second, again, 2 * ROOM)):
        assert normalized.stream == used.stream == 7
        assert normalized.arguments["x"] == X
        assert normalized.arguments["out"] == used.arguments["x"] == room
        assert normalized.arguments["scales"] == used.arguments["x_scales"] > room
        assert normalized.grid == (1, 3), "a block for each row"


@pytest.mark.parametrize("room", [0, ROOM + 8])
def test_a_workspace_that_is_missing_or_not_aligned_is_refused(noting_gpu, room):
    product = ready_product(kernel_layout(0, "fp4.25", 64, 256), "bfloat16", "float16", 1)
    with pytest.raises(InputError, match="needs a workspace that begins at a multiple of 16"):
        product(7, ONE, X, OUT, room)
    assert noting_gpu.launches == []


def test_float16_rows_need_a_workspace_only_where_they_are_not_aligned(noting_gpu):
    product = ready_product(kernel_layout(0, "fp4.25", 64, 256), "float16", "float16", 4)
    odd = ready_product(kernel_layout(0, "fp4.25", 64, 250), "float16", "float16", 4)
    assert product.workspace_nbytes(X) == 0
    assert product.workspace_nbytes(X + 2) == workspace_sizes(4, 256)[1]
    assert odd.workspace_nbytes(X) == workspace_sizes(4, 250)[1]


@given(st.integers(1, 5000), st.integers(1, 20_000))
def test_rows_and_scales_do_not_overlap(batch, columns):
    scales_at, nbytes = workspace_sizes(batch, columns)
    assert scales_at % 256 == 0
    assert scales_at >= 2 * batch * (-(-columns // 8) * 8)
    assert nbytes == scales_at + 4 * batch


def test_one_normalisation_serves_several_products(noting_gpu):
    normalize = normalization(0, "bfloat16", 2, 256)
    scales = normalize(3, X, ROOM)
    for rows in (64, 128):
        layout = kernel_layout(0, "fp4.25", rows, 256)
        product = ready_product(layout, "bfloat16", "bfloat16", 2)
        product.launch(3, ONE, ROOM, scales, OUT)
    assert [launch.kernel for launch in noting_gpu.launches] == ["normalize", "gemv", "gemv"]
    assert {la.arguments["x_scales"] for la in noting_gpu.launches[1:]} == {scales}


def test_a_large_batch_is_normalised_once(noting_gpu):
    product = ready_product(kernel_layout(0, "fp5.33", 64, 256), "bfloat16", "float32", 130)
    product(3, ONE, X, OUT, ROOM)
    normalized, *parts = noting_gpu.launches
    assert normalized.grid == (1, 130)
    at = normalized.arguments["scales"]
    assert [p.arguments["batch"] for p in parts] == [64, 64, 2]
    assert [p.arguments["x"] for p in parts] == [ROOM + n * 512 for n in (0, 64, 128)]
    assert [p.arguments["x_scales"] for p in parts] == [at + n * 4 for n in (0, 64, 128)]
    assert [p.arguments["out"] for p in parts] == [OUT + n * 256 for n in (0, 64, 128)]


def test_a_matrix_takes_a_workspace_for_each_call(noting_gpu, monkeypatch):
    """Two graphs of one stream then do not share it."""
    for module in ("arrays", "batches"):
        monkeypatch.setattr(f"cuda_kernels.{module}.torch_stream", lambda: lambda device: 8)
    weights = matrix()
    for _ in range(3):
        weights.gemv(Tensor((2, 256), X, "torch.bfloat16"), Tensor((2, 64), OUT))
    places = [la.arguments["out"] for la in noting_gpu.launches if la.kernel == "normalize"]
    assert len(set(places)) == 3
    assert {launch.stream for launch in noting_gpu.launches} == {8}


def test_linear_uses_the_callers_workspace(noting_gpu, monkeypatch):
    monkeypatch.setattr("cuda_kernels.batches.stream_of", lambda *given: 9)
    layout = kernel_layout(0, "fp4.25", 64, 256)
    x, out = Tensor((2, 256), X, "torch.bfloat16"), Tensor((2, 64), OUT, "torch.bfloat16")
    linear(layout, ONE, x, out, workspace=Tensor((4096,), ROOM, "torch.uint8"))
    normalized, product = noting_gpu.launches
    assert normalized.arguments["out"] == product.arguments["x"] == ROOM
    assert product.stream == 9


# --- capturing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "kernels"), [("float16", {"gemv"}), ("bfloat16", {"gemv", "normalize"})]
)
def test_what_is_not_loaded_is_refused_while_capturing(noting_gpu, dtype, kernels):
    layout = kernel_layout(0, "fp4.25", 64, 256)
    noting_gpu.capturing.add(5)
    with pytest.raises(ResourceError, match="call prepare for its shape, batch and dtypes first"):
        ready_product(layout, dtype, dtype, 2, 5)
    assert noting_gpu.loaded == []
    ready_product(layout, dtype, dtype, 2, 6)
    assert kernels <= {name for _, name in noting_gpu.loaded}
    ready_product(layout, dtype, dtype, 2, 5)(5, ONE, X, OUT, ROOM)


def test_an_unaligned_x_is_refused_before_the_driver_refuses(noting_gpu):
    product = ready_product(kernel_layout(0, "fp4.25", 64, 256), "float16", "float16", 2)
    noting_gpu.capturing.add(5)
    assert product.workspace_nbytes(X + 2) > 0
    with pytest.raises(ResourceError, match="call prepare"):
        product(5, ONE, X + 2, OUT, ROOM)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_nothing_is_loaded_after_prepare(noting_gpu, dtype):
    layouts = [kernel_layout(0, "fp4.25", 64, 256), kernel_layout(0, "fp6-e3m2", 64, 256)]
    batches = [1, 2, 8, 64, 65, 300]
    prepare(layouts, batches, [dtype])
    loaded = list(noting_gpu.loaded)
    noting_gpu.capturing.add(5)
    for layout in layouts:
        for batch in batches[:-1]:
            ready_product(layout, dtype, dtype, batch, 5)(5, ONE, X + 2, OUT, ROOM)
        for count in panel_counts(layout):
            dense_panel(layout, dtype, count, 5)(5, ONE, 0, OUT)
    assert noting_gpu.loaded == loaded
    assert {name for _, name in loaded} >= {"gemv", "normalize", "plain", "dequantize", "elements"}


def test_a_capture_of_another_thread_is_a_sentence_too(noting_gpu, monkeypatch):
    monkeypatch.setattr(noting_gpu, "cuModuleLoadData", lambda *given: 900)
    with pytest.raises(ResourceError, match="call prepare"):
        ready_product(kernel_layout(0, "fp4.25", 64, 256), "float16", "float16", 2)


# --- devices -------------------------------------------------------------------------------------


@pytest.fixture
def two_gpus(noting_gpu):
    noting_gpu.count = 2
    forget()
    return noting_gpu


@pytest.mark.parametrize("current", [100, 101, None])
def test_launches_have_their_own_device_current(two_gpus, current):
    layout = kernel_layout(1, "fp4.25", 64, 256)
    two_gpus.current = current
    product = ready_product(layout, "bfloat16", "float16", 70)
    assert {device for device, _ in two_gpus.loaded} == {1}
    product(4, ONE, X, OUT, ROOM)
    assert len(two_gpus.launches) == 3
    assert {launch.device for launch in two_gpus.launches} == {1}
    assert two_gpus.current == current, "and afterwards what was"


def test_the_device_is_not_changed_where_it_is_current(two_gpus, monkeypatch):
    product = ready_product(kernel_layout(0, "fp4.25", 64, 256), "float16", "float16", 1)
    monkeypatch.setattr(two_gpus, "cuCtxSetCurrent", None)
    product(4, ONE, X, OUT)
    assert len(two_gpus.launches) == 1


def test_a_device_is_current_again_after_an_error(two_gpus):
    with pytest.raises(KeyError), on_device(1):
        assert two_gpus.current == 101
        raise KeyError
    assert two_gpus.current == 100


# --- panels --------------------------------------------------------------------------------------


@given(st.integers(1, 300_000), st.integers(1, 60_000), st.integers(1 << 12, 1 << 30))
def test_panels_are_whole_row_tiles_and_fit(rows, columns, nbytes):
    layout = type("", (), {"rows": rows, "columns": columns})
    several = panel_rows(layout, nbytes)
    assert several % 16 == 0 and several >= 16
    assert several == 16 or 2 * several * columns <= nbytes
    counts = panel_counts(layout, nbytes)
    assert max(counts) == min(several, rows) and len(counts) <= 2


@pytest.mark.parametrize("scheme", ["fp4.25", "fp5.33"])
@pytest.mark.parametrize(("first", "count"), [(0, 48), (16, 32), (32, 14)])
def test_a_panel_is_those_rows(emulated_gpu, scheme, first, count):
    packed = amssim.quantize(
        np.random.default_rng(1).standard_normal((46, 264)).astype(np.float32), scheme
    )
    weights = Matrix(packed.scheme, packed.shape, packed.words, packed.scales)
    count = min(count, 46 - first)
    out = emulated_gpu.tensor(np.zeros((count, 264), np.float16))
    panel = dense_panel(weights.layout, "float16", count)
    panel(1, weights.weights.addresses, first, out.data_ptr())
    expected = packed.dequantize(np.float32).astype(np.float16)[first : first + count]
    assert (emulated_gpu.values(out) == expected).all()


@pytest.mark.parametrize("scheme", ["fp4.25", "fp6-e3m2"])
def test_all_dense_weights(emulated_gpu, scheme, monkeypatch):
    monkeypatch.setattr("cuda_kernels.batches.stream_of", lambda *given: 9)
    values = np.random.default_rng(1).standard_normal((18, 64)).astype(np.float32)
    packed = amssim.quantize(values, scheme)
    weights = Matrix(packed.scheme, packed.shape, packed.words, packed.scales)
    out = emulated_gpu.tensor(np.zeros((18, 64), np.float32))
    write_weights(weights.layout, weights.weights.addresses, out)
    assert (emulated_gpu.values(out, np.float32) == packed.dequantize(np.float32)).all()
    with pytest.raises(InputError, match=r"out must be \[18, 64\] of float16"):
        write_weights(weights.layout, ONE, emulated_gpu.tensor(np.zeros((18, 63), np.float32)))
    elsewhere = Tensor((18, 64), OUT, gpu=1)
    with pytest.raises(InputError, match="out is on GPU 1, KernelLayout"):
        write_weights(weights.layout, ONE, elsewhere)
