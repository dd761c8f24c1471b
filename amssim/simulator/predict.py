"""Predicted latency and speedup of one product."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from amssim.simulator import equations
from amssim.simulator.descriptors import device_numbers
from amssim.simulator.inputs import DEFAULT_SHAPE, Bits, DeviceName, Question, check_bits, question
from amssim.simulator.results import OVERHEAD, RESOURCES, Latency, Speedup

#: Relative error that is stated for a kernel and device without any measurement.
UNKNOWN_ERROR = 0.5
#: Of the GPUs that our kernels run on, ten times CUDA's.
LEAST_CAPABILITY = 80


def predict_latency(
    bits: Bits | None = None,
    *,
    device: DeviceName = "h200",
    shape: tuple[int, int] = DEFAULT_SHAPE,
    batch: int = 1,
    kernel: str | None = None,
    l2: str | float = "cold",
    graph: bool = True,
) -> Latency:
    """Predict the seconds of y = W x.

    Args:
        bits: bits per weight, 1 to 16, or a scheme or its name; without it, those of the kernel.
        device: its name, the path of a profile or a `Profile`; CPUs are devices too.
        shape: (rows, columns) of W, outputs by inputs.
        batch: rows of x.
        kernel: name of a kernel descriptor; by default this package's own, and without ``bits``
            the library's product: cuBLAS FP16, on a CPU float32 BLAS.
        l2: ``cold``, ``hot``, or the bytes touched between two uses of the same weight.
        graph: launched from a CUDA graph, or one by one.

    Raises:
        InputError: an argument outside its range, an unknown device or kernel.
        FormatError: a profile file with a missing or non-physical figure.

    >>> latency = predict_latency(shape=(4096, 4096))
    >>> 5e-6 < latency.seconds < 20e-6, latency.binding
    (True, 'DRAM bandwidth')
    """
    return _latency(question(bits, device, shape, batch, kernel, l2, graph))


def predict_speedup(
    bits: Bits = 16 / 3,
    *,
    device: DeviceName = "h200",
    shape: tuple[int, int] = DEFAULT_SHAPE,
    batch: int = 1,
    kernel: str | None = None,
    baseline: str | None = None,
    l2: str | float = "cold",
    graph: bool = True,
) -> Speedup:
    """Predict how much faster a product gets with quantised weights.

    Args:
        bits, device, shape, batch, kernel, l2, graph: as in `predict_latency`.
        baseline: the kernel to compare with, by default cuBLAS FP16, on a CPU float32 BLAS.

    Raises:
        InputError, FormatError: as `predict_latency`.

    >>> fast = predict_speedup(bits=4.25, shape=(8192, 8192))
    >>> float(fast) > 1, fast.baseline.question.kernel.name
    (True, 'cublas_fp16')
    """
    q = question(check_bits(bits), device, shape, batch, kernel, l2, graph)
    b = question(None, q.profile, shape, batch, baseline, l2, graph)
    quantized, base = _latency(q), _latency(b)
    error = math.hypot(quantized.relative_error, base.relative_error)
    answer = Speedup(quantized, base, error, ())
    warnings = [*_of_speedup(answer), *quantized.warnings, *_evidence(base)]
    return replace(answer, warnings=tuple(warnings))


def _latency(p: Question) -> Latency:
    variant = p.kernel.chosen(p.profile, p.load)
    numbers = variant.kernel(p.profile, p.bits)
    terms = equations.latency(device_numbers(p.profile, graph=p.graph), numbers, p.load)
    error = variant.fit(p.profile)[1]
    relative_error = UNKNOWN_ERROR if error is None else error.p90
    answer = Latency(p, variant, terms, relative_error, ())
    return replace(answer, warnings=(*_evidence(answer), *_circumstances(answer)))


def _evidence(answer: Latency) -> Iterator[str]:
    """Yield what the prediction does not rest on, in words."""
    p, name = answer.question, answer.question.kernel.name
    variant = answer.variant
    if variant.planned and device_numbers(p.profile).capability < LEAST_CAPABILITY:
        yield f"{name} needs CUDA compute capability 8.0, which {p.profile.name} does not have"
    _, error, own = variant.fit(p.profile)
    if not own and error is None:
        yield f"no measurement of {name} on {p.profile.name}: its costs are assumed, not fitted"
    elif not own:
        yield f"{name} was not measured on {p.profile.name}, only on other devices"
    if not variant.counts(p.bits)[1]:
        yield f"no instructions of {name} were counted at {p.bits:.4g} bits: estimated"
    if p.batch > variant.max_batch:
        yield f"batch {p.batch} is beyond the {variant.max_batch} that {name} was measured to"


def _circumstances(answer: Latency) -> Iterator[str]:
    """Yield what is special about this size, in words."""
    p, name = answer.question, answer.question.kernel.name
    l2_bytes = p.profile.value("l2_bytes")
    if math.isinf(p.reuse_bytes) and p.weight_bytes < l2_bytes:
        yield (
            f"the {p.weight_bytes / 1e6:.3g} MB of weights fit L2 ({l2_bytes / 1e6:.3g} MB): "
            f"a loop over this layer alone is faster than a model; l2='hot' predicts it"
        )
    if answer.binding == OVERHEAD:
        yield f"too small: most of the time of {name} is launch and fixed costs"
    if answer.binding == RESOURCES["instructions"]:
        yield f"{name} is limited by instructions, not by memory: fewer bits gain little"


def _of_speedup(answer: Speedup) -> Iterator[str]:
    """Yield what one should know about a speedup, in words."""
    low, high = answer.interval
    if answer.value < 1:
        batch = answer.quantized.question.batch
        yield f"batch {batch} is past the crossover: the baseline is faster"
    elif low < 1 < high:
        yield "the interval holds 1: which side is faster is not certain"
