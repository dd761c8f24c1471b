"""Other libraries' products of quantised weights, timed as this package's own are.

Each peer quantises random float16 weights itself, takes activations as its kernel wants them and
is timed without that conversion: cold weights in rotation, CUDA graphs. Before that its result is
compared with float64 on the weights it was given; the difference shows that it multiplies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from amssim.bench.gpu.accuracy import checked_error, exact_product
from amssim.bench.gpu.graphs import copies_of, graph_s, torch_or_error
from amssim.progress import silent

PEER_BATCHES = (1, 8)
GROUP = 128  # columns that share a scale in the int4 peers
ACCEPTED = 0.2  # relative error; 4 bits with normal weights give 0.1
_FEWEST_PRODUCTS = 16  # launches in a graph


def as_is(x: Any) -> Any:
    """Activations float16[batch, columns] without conversion."""
    return x


@dataclass(frozen=True)
class Peer:
    """A library's product of quantised weights.

    Args:
        name: what tables call it.
        package: that must be installed.
        bits: stored per weight.
        make: float16[rows, columns] weights -> function of the activations that returns the
            product, [batch, rows].
        activations: float16[batch, columns] -> what that function takes.
    """

    name: str
    package: str
    bits: float
    make: Callable[[Any], Callable[[Any], Any]]
    activations: Callable[[Any], Any] = as_is


def nf4(weights: Any) -> Callable[[Any], Any]:
    """bitsandbytes: 4-bit normal floats, a float32 scale per 64 weights."""
    import bitsandbytes

    quantize = bitsandbytes.functional.quantize_4bit
    packed, state = quantize(weights, blocksize=64, quant_type="nf4")
    return lambda x: bitsandbytes.matmul_4bit(x, packed.t(), quant_state=state)


def int4_groups(weights: Any) -> tuple[Any, Any, Any]:
    """(uint8 codes[rows, groups, 128], scales, smallest), the latter [rows, groups, 1]."""
    rows, columns = weights.shape
    grouped = weights.float().reshape(rows, columns // GROUP, GROUP)
    smallest, largest = grouped.aminmax(dim=2, keepdim=True)
    scales = (largest - smallest) / 15
    return ((grouped - smallest) / scales).round().byte(), scales, smallest


def gemlite_int4(weights: Any) -> Callable[[Any], Any]:
    """Gemlite: Triton kernels on int4, a float16 scale and zero per 128 weights."""
    import torch
    from gemlite.core import DType, GemLiteLinearTriton

    rows, columns = weights.shape
    kinds = {"input_dtype": DType.FP16, "output_dtype": DType.FP16}
    sizes = {"group_size": GROUP, "in_features": columns, "out_features": rows}
    layer: Any = GemLiteLinearTriton(4, **sizes, **kinds)
    codes, scales, smallest = int4_groups(weights)
    columns_of = [a.reshape(-1, 1).to(torch.float16) for a in (scales, -smallest / scales)]
    layer.pack(codes.reshape(rows, columns), *columns_of, None)
    return lambda x: layer(x)


def torch_int4(weights: Any) -> Callable[[Any], Any]:
    """PyTorch's tinygemm: int4, a bfloat16 scale and zero per 128 weights."""
    import torch

    codes, scales, smallest = int4_groups(weights)
    codes = codes.reshape(weights.shape)
    packed = torch.ops.aten._convert_weight_to_int4pack((codes[:, ::2] << 4) | codes[:, 1::2], 8)
    middle = smallest + 8 * scales  # of code 8, which the kernel takes as zero
    both = torch.cat([scales, middle], 2).transpose(0, 1).contiguous().bfloat16()
    return lambda x: torch.ops.aten._weight_int4pack_mm(x, packed, GROUP, both)


def torch_fp8(weights: Any) -> Callable[[Any], Any]:
    """PyTorch's product of FP8 (e4m3) by cuBLASLt: one scale, activations in FP8 too."""
    import torch

    scale = weights.abs().max().float() / 448
    packed, one = (weights.float() / scale).to(torch.float8_e4m3fn), torch.ones_like(scale)
    options = {"scale_a": one, "scale_b": scale, "out_dtype": torch.bfloat16}
    return lambda x: torch._scaled_mm(x, packed.t(), **options, use_fast_accum=True)


def to_bfloat16(x: Any) -> Any:
    """Activations for tinygemm."""
    return x.bfloat16()


def to_fp8(x: Any) -> Any:
    """Activations for `torch_fp8`; with a standard normal distribution they need no scale."""
    return x.to(torch_or_error().float8_e4m3fn)


PEERS = (
    Peer("bitsandbytes NF4", "bitsandbytes", 4.5, nf4),
    Peer("gemlite int4", "gemlite", 4.25, gemlite_int4),
    Peer("torch int4", "torch", 4.25, torch_int4, to_bfloat16),
    Peer("torch FP8", "torch", 8, torch_fp8, to_fp8),
)


def peer_product_s(peer: Peer, rows: int, columns: int, batch: int) -> tuple[float, float]:
    """Return (seconds, relative error against the weights before quantising) of a product.

    Raises:
        MismatchError: the error is larger than 4 bits explain.
    """
    torch = torch_or_error()
    half = {"device": "cuda", "dtype": torch.float16}
    count = copies_of(int(peer.bits * rows * columns / 8))
    weights = torch.randn(rows, columns, **half)
    multiply = [peer.make(weights) for _ in range(count)]
    x = torch.randn(batch, columns, **half)
    expected = exact_product(x, weights)
    del weights
    given = peer.activations(x)
    what = f"{peer.name}: {rows}x{columns}"
    error = checked_error(multiply[0](given), expected, accepted=ACCEPTED, what=what)
    return graph_s(lambda i: multiply[i % count](given), max(count, _FEWEST_PRODUCTS)), error


def measure_peer(
    peer: Peer,
    shapes: Mapping[str, tuple[int, int]],
    batches: Sequence[int],
    *,
    say: Callable[[str], None] = silent,
) -> dict[str, Any]:
    """Time a peer over ``shapes``, {layer: (rows, columns)}, as far as it goes.

    Returns:
        {"peer", "version", "results", "failed"}: figures as of `amssim bench gpu`, and a sentence
        for each product that raised; ``say`` is called with a line on each.
    """
    record: dict[str, Any] = {"peer": peer.name, "version": None, "results": [], "failed": []}
    try:
        record["version"] = metadata.version(peer.package)
    except metadata.PackageNotFoundError:
        say(f"{peer.name} left out: {peer.package} is not installed")
        return record
    for layer, shape in shapes.items():
        for batch in batches:
            place = {"layer": layer, "shape": list(shape), "batch": batch}
            try:
                product_s, error = peer_product_s(peer, *shape, batch)
            except Exception as failure:  # whatever another library raises: the rest goes on
                sentence = " ".join(f"{type(failure).__name__}: {failure}".split())[:300]
                record["failed"].append(place | {"sentence": sentence})
                say(f"{layer} {peer.name} batch {batch} failed: {sentence}")
            else:
                us = 1e6 * product_s
                record["results"].append(place | {"us": us, "error": error})
                say(f"{layer} {peer.name} batch {batch}: {us:.1f} us")
    return record
