"""`AmsExperts`: packed weights in place of a model's experts."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import nn

from amssim.checkpoint.packed.stored import SCALES, SHAPE, WORDS
from amssim.errors import FormatError, UnsupportedError
from amssim.tensor.packed import PackedTensor
from amssim.torch import operator  # noqa: F401  registers torch.ops.amssim
from amssim.torch.expert_form import ExpertForm, of_expert
from amssim.torch.expert_weights import DOWN, UP, obstacle
from amssim.torch.storage import Arranged, PackedForm, Stored

_PARTS = {WORDS: torch.uint16, SCALES: torch.float32, SHAPE: torch.int64}
# What `arrange_` makes of a weight for its device, behind the weight's name.
_DERIVED = ("_device_words", "_device_tails", "_device_scales")
_BREAK = "which experts are hit is known only when it runs"


class AmsExperts(nn.Module):  # type: ignore[misc]
    """The experts of a model, some of their weights packed; for inference.

    It stands where a module of the protocol of transformers stood, and takes over all of that one:
    activation, biases, weights that are not packed. Of a packed weight such as ``gate_up_proj``
    its state is ``gate_up_proj_packed`` uint16[experts, rows, half-words], ``gate_up_proj_scale``
    float32[experts, rows, blocks] and ``gate_up_proj_shape`` int64. In memory the words of each
    expert may lie in the order that the device's kernel reads instead.

    Args:
        like: the experts module that it replaces.

    Raises:
        UnsupportedError: experts of another kind, such as those whose last dimension is the output.
    """

    def __init__(self, like: nn.Module):
        super().__init__()
        reason = obstacle(like)
        if reason:
            raise UnsupportedError(f"experts cannot be packed here: {reason}")
        own = vars(self).keys()
        self.__dict__.update({key: v for key, v in vars(like).items() if key not in own})
        for part in ("_parameters", "_buffers", "_modules"):
            vars(self)[part].update(vars(like)[part])
        self._non_persistent_buffers_set |= like._non_persistent_buffers_set
        self.train(like.training)
        self.kind = type(like)
        self.forms: dict[str, ExpertForm] = {}

    def declare_(self, name: str, matrix: PackedForm, parts: int = 0) -> None:
        """Put empty packed weights in the place of the float ones called ``name``.

        ``parts`` is how many tensors of a checkpoint hold the weight of one expert, 0 if a single
        one holds all experts.
        """
        weight = self._parameters.pop(name)
        experts, rows, _ = weight.shape
        form = self.forms[name] = ExpertForm(experts, rows, matrix)
        empty = {"device": weight.device}
        self._put(name + WORDS, torch.empty(form.words_shape, dtype=torch.uint16, **empty))
        self._put(name + SCALES, torch.ones(form.scales_shape, dtype=torch.float32, **empty))
        self.register_buffer(name + SHAPE, None)
        self.state_parts_(name, parts)
        for part in _DERIVED:
            self.register_buffer(name + part, None, persistent=False)

    def state_parts_(self, name: str, parts: int) -> None:
        """Let the state say of how many tensors per expert a file makes the weight ``name``."""
        shape = self.forms[name].stated_shape(parts)
        setattr(self, name + SHAPE, shape.to(self._scale(name).device))

    def put_stored_(self, name: str, packed: PackedTensor, device: torch.device) -> None:
        """Take the float weight ``name`` from ``packed``, whose rows are those of all experts.

        The words are in their stored order then: `arrange_` makes them ready.
        """
        self.declare_(
            name, PackedForm(packed.scheme.name, packed.shape[1], packed.scale_block or 0)
        )
        for part, array in ((WORDS, packed.words), (SCALES, packed.scales)):
            value = torch.from_numpy(array.copy()).to(device)
            self._put(name + part, value.unflatten(0, (self.forms[name].experts, -1)))
        self.state_parts_(name, 0)

    def is_packed_part(self, leaf: str) -> bool:
        """Whether a name of the state is a part of a packed weight."""
        return any(leaf == name + part for name in self.forms for part in _PARTS)

    def packed(self, name: str) -> PackedTensor:
        """Return the weight ``name`` in its own memory, the rows of all experts stacked."""
        _, _, matrix = self.forms[name]
        words, scales = (
            part.detach().flatten(0, 1).cpu().numpy().copy()
            for part in (self._stored_words(name), self._scale(name))
        )
        shape = (len(words), matrix.columns)
        return PackedTensor(matrix.scheme, shape, words, scales, matrix.block or None)

    @torch.compiler.disable(reason=_BREAK)  # type: ignore[untyped-decorator]
    def forward(
        self, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        """Return what the experts make of hidden_states[tokens, columns], in its dtype.

        ``top_k_index`` int[tokens, k] says which experts, ``top_k_weights`` [tokens, k] how much of
        each; numbers that no expert has count as nothing.
        """
        out = torch.zeros_like(hidden_states)
        weights = top_k_weights.flatten()
        for expert, places in self._hit(top_k_index):
            tokens = places // top_k_index.shape[-1]
            y = self._expert(hidden_states[tokens], expert) * weights[places, None]
            out.index_add_(0, tokens, y.to(out.dtype))
        return out

    def arrange_(self) -> AmsExperts:
        """Bring words to the order of the device's kernel and let the stored order go."""
        self.requires_grad_(False)
        for name, form in self.forms.items():
            words = self._parameters[name + WORDS]
            if words is None or words.is_meta:
                continue
            stored = self._checked(name)
            if form.is_arranged(words.device):
                made = form.arrange(stored)
                for part, value in zip(_DERIVED, made, strict=True):
                    setattr(self, name + part, value)
                self._parameters[name + WORDS] = None
        return self

    def extra_repr(self) -> str:
        """What stands in the model's printed form."""
        return ", ".join(
            f"{name}=[{experts}, {rows}, {matrix.columns}] {matrix.scheme}"
            for name, (experts, rows, matrix) in self.forms.items()
        )

    def weights(self, name: str) -> Arranged:
        """The weight ``name`` as products on its device read it, expert by expert."""
        words, tails, scales = (getattr(self, name + part) for part in _DERIVED)
        if words is None:
            words = self._parameters[name + WORDS]
        return Arranged(words, tails, self._scale(name) if scales is None else scales)

    def _hit(self, top_k_index: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """Each expert that any token goes to, with the places in the flat index that name it."""
        experts = self.num_experts
        flat = top_k_index.detach().flatten()
        none = (flat < 0) | (flat >= experts)
        numbers = flat.masked_fill(none, experts)
        counts = numbers.bincount(minlength=experts + 1).tolist()
        groups = numbers.argsort(stable=True).split(counts)
        return ((e, places) for e, places in enumerate(groups[:experts]) if len(places))

    def _expert(self, x: torch.Tensor, expert: int) -> torch.Tensor:
        """One expert's layer, with the activation that the model's own class has."""
        if self.has_gate:
            x = self.kind._apply_gate(self, self._product(UP[0], x, expert))
        else:
            x = self.act_fn(self._product(UP[1], x, expert))
        y = self._product(DOWN, x, expert)
        return self.post_expert_norm(y) if getattr(self, "has_post_expert_norm", False) else y

    def _product(self, name: str, x: torch.Tensor, expert: int) -> torch.Tensor:
        bias = getattr(self, name + "_bias")[expert] if self.has_bias else None
        if name not in self.forms:
            return nn.functional.linear(x, self._parameters[name][expert], bias)
        own = of_expert(self.weights(name), expert)
        return torch.ops.amssim.linear(x, *own, bias, *self.forms[name].matrix, 0)

    def _scale(self, name: str) -> torch.Tensor:
        found: torch.Tensor = self._parameters[name + SCALES]
        return found

    def _put(self, name: str, value: torch.Tensor) -> None:
        self.register_parameter(name, nn.Parameter(value, requires_grad=False))

    def _checked(self, name: str) -> Stored:
        """The stored words and scales in three dimensions; files may join or lose some."""
        form = self.forms[name]
        for part, shape in ((WORDS, form.words_shape), (SCALES, form.scales_shape)):
            value = self._parameters[name + part]
            if value.numel() != prod(shape) or value.dtype != _PARTS[part]:
                raise FormatError(
                    f"{name}{part} is {value.dtype}{list(value.shape)}, expected "
                    f"{_PARTS[part]}{list(shape)}"
                )
            value.data = value.data.reshape(shape)
        return Stored(self._parameters[name + WORDS], self._scale(name))

    def _stored_words(self, name: str) -> torch.Tensor:
        words = self._parameters[name + WORDS]
        return self.forms[name].stored_words(self.weights(name)) if words is None else words

    def _store_(self) -> None:
        """Bring words back to the stored order, and let go what was derived from it."""
        for name in self.forms:
            if self._parameters[name + WORDS] is None:
                self._put(name + WORDS, self._stored_words(name))
            for part in _DERIVED:
                setattr(self, name + part, None)

    def _apply(self, fn: Any, recurse: bool = True) -> AmsExperts:
        """As for any module, but scales stay float32, and words follow the device's order."""
        self._store_()
        # not the parameters, whose data may be exchanged in place
        scales = {name: self._scale(name).data for name in self.forms}
        super()._apply(fn, recurse)
        for name, before in scales.items():
            scale = self._scale(name)
            if scale.dtype != torch.float32:
                scale.data = before.to(scale.device)
        return self.arrange_()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in self.forms:
            if self._parameters[name + WORDS] is None:
                destination[prefix + name + WORDS] = self._stored_words(name)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        self._store_()
        for name in self.forms:
            for part, dtype in _PARTS.items():
                key, own = prefix + name + part, getattr(self, name + part)
                value = state_dict.get(key)
                if value is None:
                    continue
                if value.dtype != dtype:  # torch would convert it by value
                    raise FormatError(f"{key} is {value.dtype}, expected {dtype}")
                if part == SHAPE and not torch.equal(value.to(own.device), own):
                    raise FormatError(f"{key} is {value.tolist()}, expected {own.tolist()}")
                if value.numel() == own.numel():
                    state_dict[key] = value.reshape(own.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.arrange_()

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles hold the stored order, with words as int16; see `AmsLinear`."""
        state = self.__dict__.copy()
        words = {name + WORDS: self._stored_words(name).detach() for name in self.forms}
        kept = {n: nn.Parameter(w.view(torch.int16), requires_grad=False) for n, w in words.items()}
        derived = [name + part for name in self.forms for part in _DERIVED]
        state["_parameters"] = self._parameters | kept
        state["_buffers"] = self._buffers | dict.fromkeys(derived)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for name in self.forms:
            self._put(name + WORDS, self._parameters[name + WORDS].data.view(torch.uint16))
        self.arrange_()
