"""The operators ``amssim::linear`` and ``amssim::dequantize``: packed weights as tensors.

Tensors and constants go in and a new tensor comes out; no number stands for a layer, so models
are copied, moved, exported and compiled as any other.
"""

from __future__ import annotations

from typing import Any

import torch

from amssim._threads import product_threads
from amssim.cpu.avx2 import float_product
from amssim.cpu.operands import Activations
from amssim.cpu.plain import plain_product
from amssim.errors import InputError
from amssim.scheme import scheme as find_scheme
from amssim.tensor.packed import PackedTensor
from amssim.torch.storage import (
    Arranged,
    PackedForm,
    back_to_stored,
    cpu_form,
    gpu_layout,
    is_arranged,
)

LIBRARY = torch.library.Library("amssim", "DEF")
_WEIGHTS = "Tensor words, Tensor? tails, Tensor scales"
_FORM = "str scheme, SymInt columns, int block"
LIBRARY.define(
    f"linear(Tensor x, {_WEIGHTS}, Tensor? bias, {_FORM}, SymInt skip) -> Tensor",
    tags=(torch.Tag.needs_exact_strides,),
)
LIBRARY.define(f"dequantize({_WEIGHTS}, {_FORM}) -> Tensor")


def _linear_cpu(
    x: torch.Tensor,
    words: torch.Tensor,
    tails: torch.Tensor | None,
    scales: torch.Tensor,
    bias: torch.Tensor | None,
    scheme: str,
    columns: int,
    block: int,
    skip: int,
) -> torch.Tensor:
    batch = _padded(x, columns, skip).to(torch.float32).numpy()
    rows = scales.shape[0]
    threads = product_threads(torch.get_num_threads(), rows * batch.size)
    form, numbers = cpu_form(scheme, block), scales.detach().numpy()
    if form:
        weights = form.rows(words.numpy())
        y = float_product(weights, numbers, form, batch, threads)
    else:
        packed = words.numpy(), numbers, find_scheme(scheme), block or None
        y = plain_product(*packed, Activations.as_they_are(batch), threads)
    out = torch.from_numpy(y)
    if bias is not None:
        out += bias.detach()
    return out.to(x.dtype).view(*x.shape[:-1], rows)


def _linear_cuda(
    x: torch.Tensor,
    words: torch.Tensor,
    tails: torch.Tensor | None,
    scales: torch.Tensor,
    bias: torch.Tensor | None,
    scheme: str,
    columns: int,
    block: int,
    skip: int,
) -> torch.Tensor:
    from cuda_kernels import Addresses, linear

    if x.dtype not in (torch.float16, torch.bfloat16):
        raise InputError(
            f"products on a GPU take float16 or bfloat16, found {x.dtype}: load or convert the "
            "model with one of these"
        )
    rows = scales.shape[0]
    layout = gpu_layout(x.device.index, PackedForm(scheme, columns, block), rows)
    batch, adds = _padded(x, columns, skip), None if bias is None else bias.detach().float()
    out = x.new_empty((batch.shape[0], rows))
    weights = Addresses(words.data_ptr(), _place(tails), scales.data_ptr(), _place(adds))
    linear(layout, weights, batch, out, bias=adds)
    return out.view(*x.shape[:-1], rows)


def _linear_meta(
    x: torch.Tensor,
    words: torch.Tensor,
    tails: Any,
    scales: torch.Tensor,
    bias: Any,
    scheme: str,
    columns: int,
    block: int,
    skip: int,
) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], scales.shape[0]))


def _dequantize(
    words: torch.Tensor,
    tails: torch.Tensor | None,
    scales: torch.Tensor,
    scheme: str,
    columns: int,
    block: int,
) -> torch.Tensor:
    form, device = PackedForm(scheme, columns, block), words.device
    rows = scales.shape[0]
    if is_arranged(form, device, rows):
        words, scales = back_to_stored(Arranged(words, tails, scales), form)
    canonical, factors = (part.detach().cpu().numpy() for part in (words, scales))
    packed = PackedTensor(scheme, (rows, columns), canonical, factors, block or None)
    return torch.from_numpy(packed.dequantize()).to(device)


def _dequantize_meta(
    words: torch.Tensor, tails: Any, scales: torch.Tensor, scheme: str, columns: int, block: int
) -> torch.Tensor:
    return scales.new_empty((scales.shape[0], columns))


def _padded(x: torch.Tensor, columns: int, skip: int) -> torch.Tensor:
    """x as [batch, columns], with ``skip`` zeros in front and as many behind as it takes."""
    batch = x.detach().reshape(-1, x.shape[-1])
    if batch.shape[1] != columns:
        behind = columns - skip - batch.shape[1]
        batch = torch.nn.functional.pad(batch, (skip, behind))
    return batch.contiguous()


def _place(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _keep_weights(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, words, tails, scales, bias, *form = inputs
    ctx.save_for_backward(words, tails, scales)
    ctx.form, ctx.width, ctx.has_bias = tuple(form), x.shape[-1], bias is not None


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    """The gradients of x and bias; weights are packed and have none."""
    scheme, columns, block, skip = ctx.form
    words, tails, scales = ctx.saved_tensors
    weights = torch.ops.amssim.dequantize(words, tails, scales, scheme, columns, block)
    flat = gradient.to(torch.float32)
    of_x = flat @ weights[:, skip : skip + ctx.width]
    of_bias = flat.reshape(-1, flat.shape[-1]).sum(0).to(gradient.dtype) if ctx.has_bias else None
    return of_x.to(gradient.dtype), None, None, None, of_bias, None, None, None, None


LIBRARY.impl("linear", _linear_cpu, "CPU")
LIBRARY.impl("linear", _linear_cuda, "CUDA")
LIBRARY.impl("linear", _linear_meta, "Meta")
LIBRARY.impl("dequantize", _dequantize, "CPU")
LIBRARY.impl("dequantize", _dequantize, "CUDA")
LIBRARY.impl("dequantize", _dequantize_meta, "Meta")
torch.library.register_autograd(
    "amssim::linear", _backward, setup_context=_keep_weights, lib=LIBRARY
)
