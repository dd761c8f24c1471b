"""How vLLM keeps the packed weights of a linear layer and multiplies with them."""

from __future__ import annotations

from typing import Any

import torch
from vllm.config import get_current_vllm_config
from vllm.model_executor.layers.linear import (
    LinearMethodBase,
    register_weight_loader_v2_supported_method,
)

from amssim.checkpoint.packed.stored import Packing
from amssim.errors import FormatError, InputError
from amssim.layout import Cover, Layout, cover, layout
from amssim.torch import operator  # noqa: F401  registers torch.ops.amssim
from amssim.torch.storage import Arranged, PackedForm, Stored, arrange, gpu_layout, is_arranged
from amssim.vllm.parameters import Covered, shape_parameter


@register_weight_loader_v2_supported_method
class AmsLinearMethod(LinearMethodBase):  # type: ignore[misc]
    """The packed weights of one layer: all rows and columns, or the slice of a rank.

    The layer gets ``weight_packed``, ``weight_scale`` and ``weight_shape`` as files have them; once
    loaded, the first two lie in the order that the device's kernel reads, the last is gone.

    Args:
        packing: of the layer, all parts that vLLM merges alike.
        name: of the layer, for errors.
    """

    def __init__(self, packing: Packing, name: str):
        self.packing, self.name = packing, name

    def create_weights(
        self,
        layer: torch.nn.Module,
        input_size_per_partition: int,
        output_partition_sizes: list[int],
        input_size: int,
        output_size: int,
        params_dtype: torch.dtype,
        **extra: Any,
    ) -> None:
        """Give the layer empty parameters for its part of the matrix."""
        form, block = layout(self.packing.scheme), self.packing.scale_block
        part = whole = _whole(form, input_size, block)
        if input_size_per_partition != input_size:
            start = layer.tp_rank * input_size_per_partition
            part = cover(form, start, start + input_size_per_partition, scale_block=block)
        self._columns, self._skip = len(part.columns), part.skip
        self._block = (block or 0) if len(part.scales) > 1 else 0
        self._dtype, self._batches = params_dtype, _captured_batches()

        rows = sum(output_partition_sizes)
        words = torch.empty((rows, len(part.words)), dtype=torch.uint16)
        scales = torch.full((rows, len(part.scales)), torch.nan, dtype=torch.float32)
        told: dict[str, Any] = {"where": self.name, "load": extra["weight_loader"]}
        packed = Covered(words, part=part.words, stored=len(whole.words), **told)
        scale = Covered(scales, part=part.scales, stored=len(whole.scales), **told)
        layer.register_parameter("weight_packed", packed)
        layer.register_parameter("weight_scale", scale)
        layer.register_parameter("weight_shape", shape_parameter(input_size, self.name))

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Bring the words to the order of the device's kernel and let the stored order go.

        Raises:
            FormatError: a layer, or a part of one, that the checkpoint holds no weights for.
            InputError: a layer that no kernel takes.
        """
        if not hasattr(layer, "weight_shape"):  # done already
            return
        stored = Stored(layer.weight_packed.data, layer.weight_scale.data)
        if stored.scales.isnan().any():  # as they were made: vLLM says nothing of missing weights
            raise FormatError(f"the checkpoint holds no weights for {self.name}, or not for all")
        form, device = self._form, stored.words.device
        made = Arranged(stored.words, None, stored.scales)
        if is_arranged(form, device, len(stored.scales)):
            made = arrange(stored, form)
        layer.weight_packed, layer.weight_scale = map(_constant, (made.words, made.scales))
        layer.weight_tails = None if made.tails is None else _constant(made.tails)
        layer.float_bias = None
        del layer.weight_shape
        if device.type == "cuda":  # whose kernels add float32
            bias = getattr(layer, "bias", None)
            layer.float_bias = None if bias is None else bias.detach().float()
            self._prepare(device, len(stored.scales))

    def apply(
        self, layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Multiply x[..., columns]; the result has its dtype."""
        added = bias if bias is None or layer.float_bias is None else layer.float_bias
        weights = layer.weight_packed, layer.weight_tails, layer.weight_scale
        return torch.ops.amssim.linear(x, *weights, added, *self._form, self._skip)

    @property
    def _form(self) -> PackedForm:
        return PackedForm(self.packing.scheme.name, self._columns, self._block)

    def _prepare(self, device: torch.device, rows: int) -> None:
        """Load what the graphs that vLLM captures will launch: while capturing it is too late."""
        from cuda_kernels import prepare

        if self._dtype not in (torch.float16, torch.bfloat16):
            raise InputError(
                f"products on a GPU take float16 or bfloat16, found {self._dtype}: choose one of "
                "them by --dtype"
            )
        made = gpu_layout(device.index, self._form, rows)
        prepare([made], self._batches, [str(self._dtype).removeprefix("torch.")])


def _whole(form: Layout, columns: int, scale_block: int | None) -> Cover:
    """All of a row, as it is stored."""
    blocks = -(-columns // scale_block) if scale_block else 1
    words = range(form.row_words(columns))
    return Cover(range(columns), words, range(blocks), 0, 0)


def _captured_batches() -> list[int]:
    """Batches that vLLM captures graphs for."""
    sizes = get_current_vllm_config().compilation_config.cudagraph_capture_sizes
    return list(sizes or ())


def _constant(tensor: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(tensor, requires_grad=False)
