"""The kernels on a GPU, against float64: every form, batch, dtype and tail."""

import numpy as np
import pytest

import amssim
import amssim.gpu
from amssim.errors import InputError
from amssim.layout import layout
from amssim.tensor.quantize import pack

pytestmark = pytest.mark.gpu
RNG = np.random.default_rng(20)
TOLERANCE = {
    "float16": 6e-4,
    "bfloat16": 5e-3,
    "float32": 1e-5,
}  # tensor cores truncate when they add
TAILS = [(1, 1), (1, 8), (3, 5), (16, 64), (17, 100), (4096, 4096), (5120, 2560)]
TAILS += [(130, 28672), (9000, 136), (33, 4099)]


@pytest.fixture(scope="module", autouse=True)
def gpu():
    from amssim import gpu

    try:
        gpu.check_available()
    except amssim.ResourceError as missing:
        pytest.skip(str(missing))
    return gpu


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def adversarial(rows, columns, scheme, scale_block=None):
    """Random words, so every bit pattern of a weight, and scales over 12 binades."""
    form = amssim.scheme(scheme)
    row_words = layout(form).row_words(columns)
    words = RNG.integers(0, 2**16, (rows, row_words), np.uint16)
    blocks = -(-columns // scale_block) if scale_block else 1
    scales = np.exp2(RNG.uniform(-6, 6, (rows, blocks))).astype(np.float32)
    return amssim.PackedTensor(form, (rows, columns), words, scales, scale_block)


def dense64(packed):
    from amssim import reference

    values = packed.scheme.minifloat.decode(packed.codes()).astype(np.float64)
    return values * reference.spread(packed.scales, packed.shape[1], packed.scale_block)


def relative_error(found, expected):
    """|found - expected| / |expected|; a product of zeros must be zero."""
    return np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-30)


def product_error(torch, packed, batch, dtype="float16", out_dtype=None, bias=None):
    weights = packed.to_gpu(bias)
    x = torch.randn(batch, packed.shape[1], device="cuda").to(getattr(torch, dtype))
    out = amssim.gpu.gemv(weights, x, dtype=out_dtype)
    again = amssim.gpu.gemv(weights, x, dtype=out_dtype)
    assert torch.equal(out, again), "not deterministic"
    expected = x.double().cpu().numpy() @ dense64(packed).T
    if bias is not None:
        expected = expected + bias
    return relative_error(out.double().cpu().numpy(), expected)


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25"])
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 32, 33, 63, 64, 65, 130])
def test_every_batch(torch, scheme, batch):
    packed = adversarial(1000, 2056, scheme)
    assert product_error(torch, packed, batch, out_dtype="float32") < TOLERANCE["float32"]


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25"])
@pytest.mark.parametrize("shape", TAILS)
def test_every_tail(torch, scheme, shape):
    for batch in (1, 8, 20):
        packed = adversarial(*shape, scheme)
        assert product_error(torch, packed, batch, out_dtype="float32") < TOLERANCE["float32"]


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25"])
@pytest.mark.parametrize("shape", [(16, 5120), (4104, 5128), (8200, 5216)])
@pytest.mark.parametrize("batch", [3, 8, 9, 16])
def test_streams_of_activations(torch, scheme, shape, batch):
    """Blocks of 1 to 8 row tiles, some with one less, and rows that end inside a round."""
    packed = adversarial(*shape, scheme)
    assert product_error(torch, packed, batch, out_dtype="float32") < TOLERANCE["float32"]


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("out_dtype", ["float16", "bfloat16", "float32"])
def test_dtypes_and_bias(torch, scheme, dtype, out_dtype):
    packed = adversarial(300, 520, scheme)
    bias = RNG.standard_normal(300).astype(np.float32) * 100
    for batch in (1, 12):
        error = product_error(torch, packed, batch, dtype, out_dtype, bias)
        assert error < TOLERANCE[out_dtype]


@pytest.mark.parametrize("scheme", [s.name for s in amssim.schemes()])
def test_every_preset(torch, scheme):
    packed = adversarial(70, 400, scheme)
    assert product_error(torch, packed, 3, out_dtype="float32") < TOLERANCE["float32"]


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25", "fp6-e2m3"])
def test_scales_per_block(torch, scheme):
    packed = adversarial(40, 1000, scheme, scale_block=128)
    assert product_error(torch, packed, 4, out_dtype="float32") < TOLERANCE["float32"]


@pytest.mark.parametrize(
    ("scheme", "block"),
    [("fp4.25", b) for b in (64, 128, 192, 256)] + [("fp5.33", b) for b in (48, 96, 144, 192)],
)
@pytest.mark.parametrize("shape", [(40, 1000), (130, 28672), (17, 777)])
def test_scales_per_block_on_tensor_cores(torch, scheme, block, shape):
    packed = adversarial(*shape, scheme, scale_block=block)
    weights = packed.to_gpu()
    assert weights._matrix.layout.scale_units
    for batch in (1, 2, 8, 9, 70):
        assert product_error(torch, packed, batch, out_dtype="float32") < TOLERANCE["float32"]
    expected = torch.from_numpy(packed.dequantize(np.float32)).half()
    assert torch.equal(weights.dequantize(library="torch").cpu(), expected)


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25", "fp6-e3m2"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("columns", [1024, 1000, 333])
def test_dequantize_equals_the_cpu(torch, scheme, dtype, columns):
    packed = adversarial(77, columns, scheme)
    found = packed.to_gpu().dequantize(dtype, library="torch")
    expected = torch.from_numpy(packed.dequantize(np.float32)).to(getattr(torch, dtype))
    assert torch.equal(found.cpu(), expected)


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25", "fp4-e2m1", "fp4.5-e2m2"])
def test_words_packed_on_the_gpu_equal_the_cpus(scheme):
    from cuda_kernels.forms import form_of, widen_codes
    from cuda_kernels.forms import host as words

    packed = adversarial(50, 700, scheme)
    form = form_of(packed.scheme)
    expected, tails = words.pack_form(widen_codes(packed.codes(), packed.scheme, form), form)
    matrix = packed.to_gpu()._matrix
    assert (matrix.weights.words.copy_to_host() == expected).all()
    if form.has_tails:
        assert (matrix.weights.tails.copy_to_host() == tails).all()


@pytest.mark.parametrize("scheme", [s.name for s in amssim.schemes()])
@pytest.mark.parametrize("shape", [(33, 4096), (5, 777), (16, 64), (1, 1)])
def test_weights_come_back_from_the_gpu(scheme, shape):
    form = amssim.scheme(scheme)
    codes = adversarial(*shape, scheme).codes()
    scales = np.ones((shape[0], 1), np.float32)
    packed = amssim.PackedTensor(form, shape, pack(codes, form), scales)
    assert packed.to_gpu().to_cpu() == packed


@pytest.mark.parametrize("scheme", ["fp5.33", "fp4.25", "fp4-e2m1", "fp4.5-e2m2"])
@pytest.mark.parametrize("rows", [64, 31])
def test_every_canonical_word_comes_back(scheme, rows):
    """All 2^16 half-words in rows without padding; 31 rows leave a row tile half empty."""
    form = amssim.scheme(scheme)
    block = layout(form).block_words
    row_words = -(-(2**16) // (rows * 8 * block)) * 8 * block
    words = np.arange(rows * row_words).astype(np.uint16).reshape(rows, row_words)
    shape = (rows, row_words // block * layout(form).block_weights)
    packed = amssim.PackedTensor(form, shape, words, np.ones((rows, 1), np.float32))
    assert packed.to_gpu().to_cpu() == packed


def test_a_large_batch_takes_the_dense_road(torch):
    packed = adversarial(256, 512, "fp5.33")
    assert product_error(torch, packed, 300) < 2e-3


def test_nan_and_infinity_follow_ieee(torch):
    packed = amssim.quantize(RNG.standard_normal((40, 128)).astype(np.float32), "fp4.25")
    weights = packed.to_gpu()
    for dtype in (torch.float16, torch.bfloat16):
        x = torch.ones(3, 128, device="cuda", dtype=dtype)
        x[1, 5] = float("nan")
        x[2, 7] = float("inf")
        out = amssim.gpu.gemv(weights, x).float().cpu()
        assert torch.isfinite(out[0]).all()
        assert torch.isnan(out[1]).all()
        assert not torch.isfinite(out[2]).any()


def test_bfloat16_of_any_magnitude(torch):
    packed = amssim.quantize(RNG.standard_normal((40, 128)).astype(np.float32), "fp5.33")
    weights, expected = packed.to_gpu(), dense64(packed)
    for power in (-110, -30, 0, 30, 90):
        x = (torch.randn(2, 128, device="cuda") * 2.0**power).bfloat16()
        out = amssim.gpu.gemv(weights, x, dtype="float32").double().cpu().numpy()
        assert relative_error(out, x.double().cpu().numpy() @ expected.T) < 2e-6


def test_numba_cupy_and_torch_arrays(torch):
    from numba import cuda

    packed = amssim.quantize(RNG.standard_normal((48, 256)).astype(np.float32), "fp4.25")
    weights, x = packed.to_gpu(), RNG.standard_normal(256).astype(np.float16)
    from_numba = amssim.gpu.gemv(weights, cuda.to_device(x)).copy_to_host()
    from_torch = (weights @ torch.from_numpy(x).cuda()).cpu().numpy()
    assert (from_numba == from_torch).all()
    cupy = pytest.importorskip("cupy")
    from_cupy = amssim.gpu.gemv(weights, cupy.asarray(x))
    assert isinstance(from_cupy, cupy.ndarray)
    assert (cupy.asnumpy(from_cupy) == from_torch).all()


def test_launches_can_be_captured_in_a_graph(torch):
    packed = amssim.quantize(RNG.standard_normal((512, 1024)).astype(np.float32), "fp5.33")
    weights = packed.to_gpu()
    x = torch.randn(4, 1024, device="cuda", dtype=torch.bfloat16)
    out = torch.empty(4, 512, device="cuda", dtype=torch.bfloat16)
    amssim.gpu.gemv(weights, x, out)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        amssim.gpu.gemv(weights, x, out)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        amssim.gpu.gemv(weights, x, out)
    x.copy_(torch.randn_like(x))
    out.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(out, amssim.gpu.gemv(weights, x))


def test_matrices_take_turns_on_two_streams(torch):
    """bfloat16 products of two matrices, in turns on two streams, are what each is alone."""
    tensors = [adversarial(600, 2056, "fp4.25"), adversarial(257, 4096, "fp5.33")]
    weights = [packed.to_gpu() for packed in tensors]
    streams = [torch.cuda.Stream(), torch.cuda.Stream()]
    kind = {"device": "cuda", "dtype": torch.bfloat16}
    given = [
        [torch.randn(batch, packed.shape[1], **kind) for batch in (1, 5, 64)] for packed in tensors
    ]
    alone = [
        [amssim.gpu.gemv(w, x, dtype="float32") for x in several]
        for w, several in zip(weights, given, strict=True)
    ]
    torch.cuda.synchronize()
    results = []
    for _ in range(20):
        for stream in streams:
            with torch.cuda.stream(stream):
                results += [
                    (amssim.gpu.gemv(w, x, dtype="float32"), expected)
                    for w, several, singly in zip(weights, given, alone, strict=True)
                    for x, expected in zip(several, singly, strict=True)
                ]
    torch.cuda.synchronize()
    assert all(torch.equal(found, expected) for found, expected in results)


@pytest.mark.parametrize("batch", [4, 300])
def test_a_stream_that_is_given_is_used(torch, batch):
    weights = adversarial(600, 2056, "fp4.25").to_gpu()
    x = torch.randn(batch, 2056, device="cuda", dtype=torch.bfloat16)
    expected, stream = amssim.gpu.gemv(weights, x), torch.cuda.Stream()
    torch.cuda.synchronize()
    for given in (stream, stream.cuda_stream):
        out = torch.zeros_like(expected)
        stream.wait_stream(torch.cuda.current_stream())
        amssim.gpu.gemv(weights, x, out, stream=given)
        stream.synchronize()
        assert torch.equal(out, expected)


def test_a_graph_keeps_its_workspace_when_a_larger_batch_comes(torch):
    small, wide = adversarial(64, 1032, "fp4.25"), adversarial(32, 2**17, "fp5.33")
    weights, others = small.to_gpu(), wide.to_gpu()
    kind = {"device": "cuda", "dtype": torch.bfloat16}
    x, out = torch.randn(4, 1032, **kind), torch.empty(4, 64, **kind)
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        amssim.gpu.gemv(weights, x, out)
    with torch.cuda.graph(graph, stream=stream):
        amssim.gpu.gemv(weights, x, out)
    with torch.cuda.stream(stream):  # outgrows what the graph has captured
        amssim.gpu.gemv(others, torch.randn(64, 2**17, **kind))
    torch.cuda.synchronize()
    x.copy_(torch.randn_like(x))
    out.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(out, amssim.gpu.gemv(weights, x))


def test_threads_on_one_stream_get_their_own_results(torch):
    import threading

    tensors = [adversarial(300, 1024, "fp4.25"), adversarial(300, 1024, "fp5.33")]
    weights = [packed.to_gpu() for packed in tensors]
    kind = {"device": "cuda", "dtype": torch.bfloat16}
    given = [torch.randn(3, 1024, **kind) for _ in tensors]
    alone = [amssim.gpu.gemv(w, x) for w, x in zip(weights, given, strict=True)]
    wrong = []

    def multiply(number):
        for _ in range(200):
            if not torch.equal(amssim.gpu.gemv(weights[number], given[number]), alone[number]):
                wrong.append(number)

    threads = [threading.Thread(target=multiply, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_the_transpose_stands_on_the_right_of_a_batch(torch, library):
    weights = adversarial(48, 256, "fp5.33").to_gpu()
    x = torch.randn(3, 256, device="cuda", dtype=torch.float16)
    expected = amssim.gpu.gemv(weights, x)
    if library == "cupy":
        cupy = pytest.importorskip("cupy")
        found = torch.from_dlpack(cupy.from_dlpack(x) @ weights.T)
    else:
        found = x @ weights.T
    assert torch.equal(found, expected)
    with pytest.raises(InputError, match=r"w @ x takes x\[columns\]"):
        weights @ x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: t.ones(8, dtype=t.float16), "on the GPU"),
        (lambda t: t.ones(8, device="cuda"), "float16 or bfloat16"),
        (lambda t: t.ones(9, device="cuda", dtype=t.float16), r"x must be \[8\]"),
        (lambda t: t.ones(1, 1, 8, device="cuda", dtype=t.float16), r"x must be \[8\]"),
        (lambda t: t.ones(8, 8, device="cuda", dtype=t.float16).t(), "contiguous"),
        (lambda t: [1.0] * 8, "array on the GPU"),
        (lambda t: np.ones(8, np.float16), "on the GPU"),
    ],
)
def test_bad_x(torch, make, message):
    weights = amssim.quantize(np.ones((4, 8), np.float32), "fp4.25").to_gpu()
    with pytest.raises(InputError, match=message):
        amssim.gpu.gemv(weights, make(torch))


def test_bad_out_and_empty_batch(torch):
    weights = amssim.quantize(np.ones((4, 8), np.float32), "fp4.25").to_gpu()
    x = torch.ones(2, 8, device="cuda", dtype=torch.float16)
    with pytest.raises(InputError, match="out must be"):
        amssim.gpu.gemv(weights, x, torch.empty(4, device="cuda"))
    assert amssim.gpu.gemv(weights, x[:0]).shape == (0, 4)
