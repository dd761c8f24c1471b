"""Weights and workspaces in memory of PyTorch, CUDA graphs and several GPUs: on a device."""

import threading

import numpy as np
import pytest

import amssim
from amssim.errors import InputError, ResourceError
from amssim.layout import layout as canonical_layout
from cuda_kernels import (
    DENSE_BATCH,
    Addresses,
    kernel_layout,
    linear,
    normalization,
    prepare,
    ready_product,
    to_canonical,
    to_kernel_order,
    workspace_nbytes,
    write_weights,
)
from cuda_kernels.dense.multiply import PANEL_BYTES

pytestmark = pytest.mark.gpu
RNG = np.random.default_rng(30)
TOLERANCE = {"float16": 6e-4, "bfloat16": 5e-3}
BATCHES = [1, 3, 8, 16, 64, 65, 256, 257, 512]
SCHEMES = ["fp5.33", "fp4.25"]


@pytest.fixture(scope="module")
def torch():
    from amssim import gpu

    torch = pytest.importorskip("torch")
    try:
        gpu.check_available()
    except amssim.ResourceError as missing:
        pytest.skip(str(missing))
    return torch


class Linear:
    """A layer whose memory is PyTorch's, as an operator of PyTorch sees it."""

    def __init__(self, torch, scheme, rows, columns, *, block=None, bias=False, device=0):
        self.torch, self.device = torch, f"cuda:{device}"
        form = amssim.scheme(scheme)
        words = RNG.integers(0, 2**16, (rows, canonical_layout(form).row_words(columns)), np.uint16)
        scales = np.exp2(RNG.uniform(-3, 3, (rows, -(-columns // (block or columns)))))
        packed = (words, scales.astype(np.float32), block)
        self.packed = amssim.PackedTensor(form, (rows, columns), *packed)
        self.layout = kernel_layout(device, scheme, rows, columns, block)
        self.canonical = torch.from_numpy(words).to(self.device)
        self.scales = torch.from_numpy(scales.astype(np.float32)).to(self.device)
        self.bias = torch.randn(rows, device=self.device) if bias else None
        self.tails = self.ordered = None
        self.words = self.canonical
        if self.layout.form is not None:
            self.words = self.empty(self.layout.words)
            self.tails = self.layout.tails and self.empty(self.layout.tails)
            self.ordered = self.empty(self.layout.scales) if self.layout.scale_units else None
            to_kernel_order(self.layout, self.canonical, self.scales, **self.arrays)

    def empty(self, size):
        kind = {2: self.torch.int16, 4: self.torch.int32}[size.itemsize]
        return self.torch.full(size.shape, 0x5A5A, dtype=kind, device=self.device)

    @property
    def arrays(self):
        return {"words": self.words, "tails": self.tails, "ordered_scales": self.ordered}

    @property
    def weights(self):
        scales = self.scales if self.ordered is None else self.ordered
        several = (self.words, self.tails, scales, self.bias)
        return Addresses(*(0 if tensor is None else tensor.data_ptr() for tensor in several))

    def random(self, batch, dtype):
        columns = self.layout.columns
        return self.torch.randn(batch, columns, device=self.device).to(getattr(self.torch, dtype))

    def __call__(self, x, out=None):
        out = x.new_empty(len(x), self.layout.rows) if out is None else out
        linear(self.layout, self.weights, x, out, bias=self.bias)
        return out

    def expected(self, x):
        out = x.double().cpu().numpy() @ self.packed.dequantize(np.float64).T
        return out if self.bias is None else out + self.bias.double().cpu().numpy()

    def error(self, x, out):
        expected = self.expected(x)
        found = out.double().cpu().numpy()
        return np.linalg.norm(found - expected) / np.linalg.norm(expected)


# --- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25", "fp4-e2m1", "fp4.5-e2m2", "fp5-e2m2"])
@pytest.mark.parametrize("rows", [64, 31])
def test_every_canonical_word_comes_back(torch, scheme, rows):
    form = amssim.scheme(scheme)
    block = canonical_layout(form).block_words
    row_words = -(-(2**16) // (rows * 8 * block)) * 8 * block
    words = np.arange(rows * row_words).astype(np.uint16).reshape(rows, row_words)
    columns = row_words // block * canonical_layout(form).block_weights
    layer = Linear(torch, scheme, rows, columns)
    layer.canonical = torch.from_numpy(words).cuda()
    to_kernel_order(layer.layout, layer.canonical, **layer.arrays)
    back = torch.full_like(layer.canonical.view(torch.int16), 77)
    to_canonical(layer.layout, back, **layer.arrays)
    assert torch.equal(back, layer.canonical.view(torch.int16))


@pytest.mark.parametrize(("scheme", "block"), [("fp4.25", 64), ("fp4.25", 192), ("fp5.33", 96)])
@pytest.mark.parametrize("shape", [(64, 1024), (37, 777)])
def test_scales_per_block_come_back(torch, scheme, block, shape):
    layer = Linear(torch, scheme, *shape, block=block)
    back, scales = torch.empty_like(layer.canonical), torch.full_like(layer.scales, -1)
    to_canonical(layer.layout, back, scales, **layer.arrays)
    assert torch.equal(scales, layer.scales)


def test_arrays_of_another_size_are_refused(torch):
    layer = Linear(torch, "fp4.25", 64, 256)
    with pytest.raises(InputError, match=r"words of KernelLayout.* must be uint32\[4, 4, 32, 4\]"):
        to_kernel_order(layer.layout, layer.canonical, words=layer.words[:2], tails=layer.tails)
    with pytest.raises(InputError, match="needs tails"):
        to_kernel_order(layer.layout, layer.canonical, words=layer.words)


# --- products ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(1000, 2056), (4096, 4096), (77, 515)])
def test_products_of_every_batch(torch, scheme, dtype, shape):
    layer = Linear(torch, scheme, *shape, bias=True)
    for batch in BATCHES:
        x = layer.random(batch, dtype)
        assert layer.error(x, layer(x)) < TOLERANCE[dtype], batch


@pytest.mark.parametrize(("scheme", "block"), [("fp4.25", 128), ("fp5.33", 96), ("fp6-e3m2", None)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_products_of_other_scales_and_schemes(torch, scheme, block, dtype):
    layer = Linear(torch, scheme, 300, 1000, block=block, bias=True)
    for batch in (1, 8, 65, 257):
        x = layer.random(batch, dtype)
        assert layer.error(x, layer(x)) < TOLERANCE[dtype], batch


def test_the_workspace_may_be_the_callers(torch):
    layer, alone = Linear(torch, "fp4.25", 300, 1032), None
    for batch in (3, 100):
        x = layer.random(batch, "bfloat16")
        alone, out = layer(x), x.new_empty(batch, 300)
        room = torch.empty(workspace_nbytes(layer.layout, "bfloat16", batch), dtype=torch.uint8,
                           device="cuda")  # fmt: skip
        linear(layer.layout, layer.weights, x, out, workspace=room)
        assert torch.equal(out, alone)
    x = layer.random(DENSE_BATCH, "float16")
    panel = torch.empty(2 * 16 * 1032, dtype=torch.float16, device="cuda")  # ten panels
    out = x.new_empty(DENSE_BATCH, 300)
    linear(layer.layout, layer.weights, x, out, workspace=panel)
    assert layer.error(x, out) < TOLERANCE["float16"]


def test_one_normalisation_serves_several_products(torch):
    layers = [Linear(torch, scheme, rows, 1032) for scheme, rows in
              (("fp4.25", 300), ("fp5.33", 64), ("fp4.25", 1000))]  # fmt: skip
    x, stream = layers[0].random(5, "bfloat16"), torch.cuda.current_stream().cuda_stream
    normalize = normalization(0, "bfloat16", 5, 1032)
    room = torch.empty(normalize.nbytes, dtype=torch.uint8, device="cuda")
    scales = normalize(stream, x.data_ptr(), room.data_ptr())
    for layer in layers:
        out = x.new_empty(5, layer.layout.rows)
        product = ready_product(layer.layout, "bfloat16", "bfloat16", 5)
        product.launch(stream, layer.weights, room.data_ptr(), scales, out.data_ptr())
        assert torch.equal(out, layer(x))


def test_layers_of_one_shape_share_their_launches(torch):
    layers = [Linear(torch, "fp5.33", 256, 1024) for _ in range(3)]
    assert len({id(layer.layout) for layer in layers}) == 1
    assert len({id(ready_product(layer.layout, "float16", "float16", 2)) for layer in layers}) == 1
    given = [layer.random(2, "float16") for layer in layers]
    alone = [layer(x) for layer, x in zip(layers, given, strict=True)]
    wrong = []

    def work(number):
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(200):
                if not torch.equal(layers[number](given[number]), alone[number]):
                    wrong.append(number)

    torch.cuda.synchronize()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_large_layer_takes_no_more_than_a_panel(torch):
    layer = Linear(torch, "fp4.25", 28672, 4096)
    x = layer.random(300, "float16")
    out = layer(x)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    layer(x, out)
    assert torch.cuda.max_memory_allocated() - before <= PANEL_BYTES


@pytest.mark.parametrize(
    ("scheme", "block"), [("fp4.25", None), ("fp5.33", 96), ("fp6-e3m2", None)]
)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("columns", [1024, 777])
def test_dense_weights_in_a_tensor(torch, scheme, block, dtype, columns):
    layer = Linear(torch, scheme, 130, columns, block=block)
    out = torch.empty(130, columns, dtype=getattr(torch, dtype), device="cuda")
    write_weights(layer.layout, layer.weights, out)
    expected = torch.from_numpy(layer.packed.dequantize(np.float32)).to(out.dtype)
    assert torch.equal(out.cpu(), expected)


# --- CUDA graphs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("batch", [1, 8, 64, 100, 300])
def test_a_graph_on_a_stream_that_was_never_warmed_up(torch, dtype, batch):
    """torch.cuda.graph captures on a stream of its own."""
    layer = Linear(torch, "fp5.33", 640, 1024)
    prepare([layer.layout], [batch], [dtype])
    if batch >= DENSE_BATCH:  # cuBLAS is not ours to load
        torch.mm(layer.random(batch, dtype), layer.random(640, dtype).t())
    x = layer.random(batch, dtype)
    out = x.new_empty(batch, 640)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        layer(x, out)
    x.copy_(layer.random(batch, dtype))
    out.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert layer.error(x, out) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_two_graphs_at_once_on_two_streams(torch, dtype):
    """Graphs that were captured on one stream do not share a workspace."""
    layers = [Linear(torch, "fp4.25", 2000, 4096), Linear(torch, "fp4.25", 2000, 4096)]
    given = [layer.random(4, dtype) for layer in layers]
    prepare({layer.layout for layer in layers}, [4], [dtype])
    graphs, results = [], []
    for layer, x in zip(layers, given, strict=True):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results.append([layer(x) for _ in range(10)])
        graphs.append(graph)
    alone = [layer(x) for layer, x in zip(layers, given, strict=True)]
    streams = [torch.cuda.Stream(), torch.cuda.Stream()]
    torch.cuda.synchronize()
    for _ in range(20):
        for graph, stream in zip(graphs, streams, strict=True):
            with torch.cuda.stream(stream):
                graph.replay()
    torch.cuda.synchronize()
    for several, expected in zip(results, alone, strict=True):
        assert all(torch.equal(found, expected) for found in several)


def test_a_matrix_can_be_captured_without_being_warmed_up(torch):
    packed = amssim.quantize(RNG.standard_normal((512, 1032)).astype(np.float32), "fp5.33")
    weights = packed.to_gpu()
    x = torch.randn(4, 1032, device="cuda", dtype=torch.bfloat16)
    expected = amssim.gpu.gemv(weights, x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = amssim.gpu.gemv(weights, x)
    out.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(out, expected)


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_kernel_that_is_not_loaded_is_a_sentence_while_capturing(torch, dtype):
    from loaded import forget

    layer = Linear(torch, "fp4.25", 130, 1000)
    x = layer.random(2, dtype)
    torch.cuda.synchronize()
    forget()
    layer.layout = kernel_layout(0, "fp4.25", 130, 1000)
    with (
        pytest.raises(ResourceError, match="call prepare for its shape, batch and dtypes first"),
        torch.cuda.graph(torch.cuda.CUDAGraph()),
    ):
        layer(x)
    prepare([layer.layout], [2], [dtype])  # and then it can
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = layer(x)
    graph.replay()
    assert layer.error(x, out) < TOLERANCE[dtype]


# --- several GPUs --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("scheme", ["fp4.25", "fp6-e3m2"])
def test_the_second_gpu_while_the_first_is_current(torch, dtype, scheme):
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    assert torch.cuda.current_device() == 0
    layer = Linear(torch, scheme, 500, 1024, device=1, bias=True)
    for batch in (1, 8, 100, 300):
        x = layer.random(batch, dtype)
        found = layer(x)
        assert found.device.index == 1
        assert layer.error(x, found) < TOLERANCE[dtype]
        assert torch.cuda.current_device() == 0
    with torch.cuda.device(1):
        weights = layer.packed.to_gpu()
    x = layer.random(3, dtype)
    assert amssim.gpu.gemv(weights, x).device.index == 1
    assert weights.to_cpu().shape == (500, 1024)
    assert weights.dequantize(library="torch").device.index == 1
    assert torch.cuda.current_device() == 0
    back = torch.empty_like(layer.canonical)
    if layer.layout.form is not None:
        to_canonical(layer.layout, back, **layer.arrays)
        assert torch.equal(
            back.cpu().view(torch.int16)[:, 0], layer.canonical.cpu().view(torch.int16)[:, 0]
        )
