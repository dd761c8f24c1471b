"""`AmsLinear`: packed weights in place of an ``nn.Linear``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from amssim.checkpoint.packed.stored import SCALES, SHAPE, WORDS
from amssim.errors import FormatError, InputError
from amssim.layout import layout
from amssim.scheme import Scheme
from amssim.scheme import scheme as find_scheme
from amssim.tensor.packed import PackedTensor
from amssim.torch import operator, storage  # noqa: F401  the first registers torch.ops.amssim
from amssim.torch.storage import Arranged, PackedForm

_WORDS, _SCALES, _SHAPE = ("weight" + part for part in (WORDS, SCALES, SHAPE))
# What `arrange_` makes of the state for its device: what differs from the stored form there, and
# the bias as GPU kernels add it.
_DERIVED = ("words", "tails", "scales", "float_bias")
_DTYPES = {_WORDS: torch.uint16, _SCALES: torch.float32, _SHAPE: torch.int64}


class AmsLinear(nn.Module):  # type: ignore[misc]
    """y = x W^T + bias with packed weights W[out_features, in_features]; for inference.

    Its state is what a checkpoint stores of a packed tensor: ``weight_packed`` uint16[rows,
    half-words], ``weight_scale`` float32[rows, blocks], ``weight_shape`` int64[2]; and ``bias``.
    In memory the words may lie in the order that the device's kernel reads instead.

    Args:
        in_features, out_features: columns and rows of W.
        scheme: the number format, or its name.
        scale_block: columns per scale, None for whole rows.
        bias: whether there is one.
        device, dtype: as for ``nn.Linear``; ``dtype`` is that of the bias.

    Raises:
        SchemeError: an unknown scheme.
    """

    weight_packed: torch.Tensor | None
    weight_scale: torch.Tensor
    weight_shape: torch.Tensor
    bias: torch.Tensor | None
    words: torch.Tensor | None
    tails: torch.Tensor | None
    scales: torch.Tensor | None
    float_bias: torch.Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        scheme: str | Scheme,
        scale_block: int | None = None,
        bias: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        found = find_scheme(scheme)
        self.in_features, self.out_features = in_features, out_features
        self.scheme, self.scale_block = found.name, scale_block
        blocks = -(-in_features // scale_block) if scale_block else 1
        words = (out_features, layout(found).row_words(in_features))
        self._put(_WORDS, torch.empty(words, dtype=torch.uint16, device=device))
        scales = torch.ones((out_features, blocks), dtype=torch.float32, device=device)
        self._put(_SCALES, scales)
        shape = torch.tensor([out_features, in_features], dtype=torch.int64, device=device)
        self.register_buffer(_SHAPE, shape)
        for name in _DERIVED:
            self.register_buffer(name, None, persistent=False)
        like = torch.empty(0, dtype=dtype, device=device)
        self.register_buffer("_like", like, persistent=False)
        if bias:
            self._put("bias", torch.zeros(out_features, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)

    @classmethod
    def of(cls, packed: PackedTensor, bias: torch.Tensor | None = None) -> AmsLinear:
        """Return a layer with the weights of ``packed``, copied, on the device of ``bias`` or CPU.

        >>> import amssim, numpy as np
        >>> packed = amssim.quantize(np.float32([[0.125, -1.125, 7.5]]), "fp5.33")
        >>> AmsLinear.of(packed)(torch.ones(3))
        tensor([6.5000])
        """
        rows, columns = packed.shape
        form: dict[str, Any] = {"scheme": packed.scheme, "scale_block": packed.scale_block}
        if bias is not None:
            form |= {"bias": True, "device": bias.device, "dtype": bias.dtype}
        layer = cls(columns, rows, **form)
        layer.put_stored_(packed)
        if bias is not None:
            layer._put("bias", bias.detach().clone())
        return layer.arrange_()

    def put_stored_(self, packed: PackedTensor) -> None:
        """Take the weights of ``packed`` in their stored order; `arrange_` makes them ready."""
        device = self.weight_scale.device
        parts = (torch.from_numpy(part.copy()) for part in (packed.words, packed.scales))
        self.put_(storage.Stored(*(part.to(device) for part in parts)))

    def put_(self, stored: storage.Stored) -> None:
        """Take weights in their stored order as they are; `arrange_` makes them ready."""
        self._forget_derived()
        self._put(_WORDS, stored.words)
        self._put(_SCALES, stored.scales)

    @property
    def weight(self) -> torch.Tensor:
        """An empty tensor with dtype and device of a float layer in this place.

        Some models ask their layers for these; the weights themselves are `packed`.
        """
        return self._like

    @property
    def form(self) -> PackedForm:
        """What products are told of the weights."""
        return PackedForm(self.scheme, self.in_features, self.scale_block or 0)

    @property
    def weights(self) -> Arranged:
        """The weights as products on their device read them.

        Raises:
            InputError: nothing was loaded yet.
        """
        words = self.weight_packed if self.words is None else self.words
        if words is None:
            raise InputError("this layer holds no weights: load them, then call arrange_()")
        scales = self.weight_scale if self.scales is None else self.scales
        return Arranged(words, self.tails, scales)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply x[..., in_features]; the result has its dtype."""
        bias = self.bias if self.float_bias is None else self.float_bias
        return torch.ops.amssim.linear(x, *self.weights, bias, *self.form, 0)

    def packed(self) -> PackedTensor:
        """Return the weights as a `PackedTensor` of its own memory."""
        shape = (self.out_features, self.in_features)
        words, scales = (part.detach().cpu().numpy().copy() for part in self._stored())
        return PackedTensor(self.scheme, shape, words, scales, self.scale_block)

    def arrange_(self) -> AmsLinear:
        """Bring the words to the order of the device's kernel and let the stored order go."""
        self.requires_grad_(False)
        words = self.weight_packed
        if words is None or words.is_meta:
            return self
        if storage.is_arranged(self.form, words.device, self.out_features):
            made = storage.arrange(storage.Stored(words, self.weight_scale), self.form)
            self.words, self.tails, self.weight_packed = made.words, made.tails, None
            self.scales = None if made.scales is self.weight_scale else made.scales
        if self.bias is not None and words.is_cuda:
            self.float_bias = self.bias.detach().float()
        return self

    def extra_repr(self) -> str:
        """What stands in the model's printed form."""
        block = f", scale_block={self.scale_block}" if self.scale_block else ""
        bias = self.bias is not None
        return f"{self.in_features}, {self.out_features}, {self.scheme}{block}, bias={bias}"

    def _put(self, name: str, value: torch.Tensor) -> None:
        self.register_parameter(name, nn.Parameter(value, requires_grad=False))

    def _stored(self) -> storage.Stored:
        if self.words is None:
            return storage.Stored(self.weights.words, self.weight_scale)
        return storage.back_to_stored(self.weights, self.form)

    def _store_(self) -> None:
        """Bring the words back to the stored order, and let go what was derived from it."""
        if self.words is not None:
            self._put(_WORDS, self._stored().words)
        self._forget_derived()

    def _forget_derived(self) -> None:
        for name in _DERIVED:
            setattr(self, name, None)

    def _apply(self, fn: Any, recurse: bool = True) -> AmsLinear:
        """As for any module, but scales stay float32, and words follow the device's order."""
        self._store_()
        scales = self.weight_scale.data  # not the parameter, whose data may be exchanged in place
        super()._apply(fn, recurse)
        if self.weight_scale.dtype != torch.float32:
            self.weight_scale.data = scales.to(self.weight_scale.device)
        return self.arrange_()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.words is not None:
            destination[prefix + _WORDS] = self._stored().words

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for name, dtype in _DTYPES.items():  # torch would convert other dtypes by value
            value = state_dict.get(prefix + name)
            if value is not None and value.dtype != dtype:
                raise FormatError(f"{prefix}{name} is {value.dtype}, expected {dtype}")
        self._check_shape(state_dict.get(prefix + _SHAPE), prefix)
        self._store_()
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.arrange_()

    def _check_shape(self, shape: torch.Tensor | None, prefix: str) -> None:
        expected = [self.out_features, self.in_features]
        if shape is not None and shape.tolist() != expected:
            raise FormatError(f"{prefix}{_SHAPE} is {shape.tolist()}, but the layer has {expected}")

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles hold the stored order, which does not depend on the CPU.

        Words are int16 in them: pickle writes uint16 tensors, and PyTorch cannot read them back.
        """
        state = self.__dict__.copy()
        words = self._stored().words.detach().view(torch.int16)
        kept = nn.Parameter(words, requires_grad=False)
        state["_parameters"] = self._parameters | {_WORDS: kept}
        state["_buffers"] = self._buffers | dict.fromkeys(_DERIVED)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        words = self._parameters[_WORDS]
        if words is not None:
            self._put(_WORDS, words.data.view(torch.uint16))
        self.arrange_()
