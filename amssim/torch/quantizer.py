"""The quantisation method "ams" of transformers: packed checkpoints, and quantising while loading.

Importing this file registers it. What asks for transformers in amssim is here and beside it.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.core_model_loading import ConversionOps
from transformers.quantizers import HfQuantizer
from transformers.quantizers.auto import (
    AUTO_QUANTIZER_MAPPING,
    register_quantization_config,
    register_quantizer,
)

from amssim.checkpoint.packed.catalog import read_catalog
from amssim.checkpoint.packed.config_keys import METHOD, NAME_OF_WEIGHTS, is_guarded
from amssim.checkpoint.packed.stored import SCALES, WORDS
from amssim.errors import FormatError, UnsupportedError
from amssim.scheme import scheme as find_scheme
from amssim.tensor.packed import PackedTensor
from amssim.tensor.quantize import quantize
from amssim.torch.arrays import as_rows
from amssim.torch.checks import check_sums
from amssim.torch.choice import decide_weights
from amssim.torch.config import AmsConfig, stored_config
from amssim.torch.conversions import keep_conversions, state_parts, with_packed_parts
from amssim.torch.exchange import exchange_stored
from amssim.torch.experts import AmsExperts
from amssim.torch.linear import AmsLinear


class AmsHfQuantizer(HfQuantizer):  # type: ignore[misc]
    """What transformers asks about the method; see `AmsConfig`."""

    requires_calibration = False
    quantization_config: AmsConfig

    def validate_environment(self, *args: Any, device_map: Any = None, **kwargs: Any) -> None:
        """Refuse to spread layers over memory that no product reads."""
        places = set(device_map.values()) if isinstance(device_map, dict) else set()
        if "disk" in places or ("cpu" in places and len(places) > 1):
            raise UnsupportedError(
                "packed layers are not offloaded to the CPU or disk: choose one device, such as "
                "device_map='cuda', or a scheme with fewer bits"
            )

    # The first that sees the config, by its names in transformers up to 5.23 and from then on.
    def update_tp_plan(self, config: Any) -> Any:
        """Refuse slices, and return a config that names no file of weights but the usual ones."""
        return _admitted(config)

    def update_attn_implementation(self, config: Any) -> Any:
        """The same."""
        return _admitted(config)

    def _process_model_before_weight_loading(
        self, model: Any, checkpoint_files: Any = None, **kwargs: Any
    ) -> None:
        if not self.pre_quantized:
            self._chosen = self._choose(model)
            return
        if not checkpoint_files:
            raise FormatError("a packed model is loaded from files, and there are none")
        catalog = read_catalog(Path(checkpoint_files[0]).parent)
        exchange_stored(model, catalog, self)
        check_sums(catalog)
        self._dtypes = {name: p.dtype for name, p in model.named_parameters()}

    def _choose(self, model: Any) -> dict[str, str]:
        config = self.quantization_config
        decisions = decide_weights(model, find_scheme(config.scheme), config.rules)
        return {name: d.scheme.name for name, d in decisions.items() if d.scheme}

    def _process_model_after_weight_loading(self, model: Any, **kwargs: Any) -> None:
        for name, module in model.named_modules():
            if isinstance(module, AmsLinear | AmsExperts):
                left = [n for n, p in module.named_parameters() if p.is_meta]
                if left:
                    raise FormatError(f"the checkpoint holds no {name}.{left[0]}")
                module.arrange_()
        if self.pre_quantized:
            self._restore_dtypes(model)
        else:
            keep_conversions(model)
            state_parts(model)
            self.quantization_config = stored_config(model)
            model.config.quantization_config = self.quantization_config

    def _restore_dtypes(self, model: Any) -> None:
        """Give parameters the dtype asked for: renamed ones come with that of the file."""
        for name, parameter in model.named_parameters():
            dtype = self._dtypes.get(name, parameter.dtype)
            if parameter.dtype != dtype:
                parameter.data = parameter.data.to(dtype)

    def param_needs_quantization(self, model: Any, param_name: str, **kwargs: Any) -> bool:
        """Whether a float parameter is quantised as it comes.

        Of a packed checkpoint, whether it is one of packed experts, whose shapes may come with
        dimensions joined or lost: `AmsExperts` compares them.
        """
        if not self.pre_quantized:
            return param_name in self._chosen
        home, _, leaf = param_name.rpartition(".")
        module = model.get_submodule(home)
        return isinstance(module, AmsExperts) and module.is_packed_part(leaf)

    def update_weight_conversions(self, weight_conversions: Any, model: Any = None) -> Any:
        """Let the model's own rules merge the parts of packed tensors as they merge float ones."""
        return with_packed_parts(weight_conversions)

    def get_quantize_ops(self) -> ConversionOps:
        """What quantises it."""
        return AmsQuantize(self)

    def is_serializable(self) -> bool:
        """Files of `save_pretrained` hold the packed weights."""
        return True

    @property
    def is_trainable(self) -> bool:
        """Packed weights have no gradients."""
        return False

    @property
    def is_compileable(self) -> bool:
        """`generate` compiles decoding as for float models."""
        return True


def _admitted(config: Any) -> Any:
    """Return a config without what keeps out loaders that know nothing of amssim.

    Raises:
        UnsupportedError: tensor parallelism, whose slices would cut groups of weights.
    """
    if getattr(config, "distributed_config", None) is not None:
        raise UnsupportedError(
            "packed layers are not split over devices by transformers: load the model without "
            "tp_plan or distributed_config"
        )
    if not is_guarded(vars(config)):
        return config
    config = copy(config)
    delattr(config, NAME_OF_WEIGHTS)
    return config


class AmsQuantize(ConversionOps):  # type: ignore[misc]
    """Puts a packed layer in the place of a linear one when its weights arrive."""

    def __init__(self, quantizer: AmsHfQuantizer):
        self._quantizer = quantizer

    def convert(
        self,
        input_dict: dict[str, Any],
        model: Any = None,
        full_layer_name: str = "",
        missing_keys: set[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, torch.Tensor]:
        """Quantise one weight; nothing remains to be set by the loader."""
        value = next(iter(input_dict.values()))
        value = value[0] if isinstance(value, list) else value
        config = self._quantizer.quantization_config
        packed = quantize(
            as_rows(value, full_layer_name),
            self._quantizer._chosen[full_layer_name],
            search=config.search,
            scale=config.scale,
            scale_block=config.scale_block,
            name=full_layer_name,
        )
        _put(model, full_layer_name, packed, value.device)
        if missing_keys is not None:
            missing_keys.discard(full_layer_name)
        return {}


def _put(model: Any, name: str, packed: PackedTensor, device: torch.device) -> None:
    """Exchange the module of the weight ``name``, or give it that weight if it is packed already.

    Words are in the stored order: loading replaces other buffers.
    """
    home, _, leaf = name.rpartition(".")
    module = model.get_submodule(home)
    made = _layer_like(module, packed, device) if type(module) is nn.Linear else module
    if made is module:
        made = module if isinstance(module, AmsExperts) else AmsExperts(module)
        made.put_stored_(leaf, packed, device)
    for part in (WORDS, SCALES):
        getattr(made, leaf + part)._is_hf_initialized = True
    model.set_submodule(home, made)


def _layer_like(layer: nn.Linear, packed: PackedTensor, device: torch.device) -> AmsLinear:
    """A layer in the place of ``layer``, which holds ``packed`` in its stored order."""
    rows, columns = packed.shape
    made = AmsLinear(
        columns,
        rows,
        scheme=packed.scheme,
        scale_block=packed.scale_block,
        device=device,
        dtype=layer.weight.dtype,
    )
    made.put_stored_(packed)
    made.bias = layer.bias  # perhaps still to be loaded
    return made


if METHOD not in AUTO_QUANTIZER_MAPPING:  # a second import must not register again
    register_quantization_config(METHOD)(AmsConfig)
    register_quantizer(METHOD)(AmsHfQuantizer)
