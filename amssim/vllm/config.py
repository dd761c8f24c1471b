"""What vLLM asks about the method "ams": which layers are packed, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from vllm.model_executor.layers.fused_moe import RoutedExperts
from vllm.model_executor.layers.linear import LinearBase, UnquantizedLinearMethod
from vllm.model_executor.layers.quantization.base_config import QuantizationConfig
from vllm.model_executor.layers.vocab_parallel_embedding import (
    ParallelLMHead,
    UnquantizedEmbeddingMethod,
    VocabParallelEmbedding,
)

from amssim.checkpoint.packed.by_config import StatedPackings
from amssim.checkpoint.packed.catalog import read_catalog
from amssim.checkpoint.packed.config_keys import METHOD
from amssim.checkpoint.packed.stored import Packing
from amssim.errors import UnsupportedError
from amssim.gpu import OLDEST

# Numba is loaded with the first packed layer and no earlier: where it is there before, a worker of
# vLLM on the CPU ends while it starts (findings/vllm-cpu-worker-ends-by-llvmlite.sh).


class AmsQuantConfig(QuantizationConfig):  # type: ignore[misc]
    """The quantization_config of a packed checkpoint.

    vLLM knows a model on a hub by its config.json alone, so that says how each tensor is packed;
    the headers of a directory are compared with it.

    Args:
        stated: the dictionary of config.json.

    Raises:
        FormatError, MismatchError, UnsupportedError: as `StatedPackings`.
    """

    def __init__(self, stated: dict[str, Any]):
        super().__init__()
        packings = StatedPackings(stated, "quantization_config in config.json")
        self._default = packings.default
        self._exceptions = {
            name.removesuffix(".weight"): packing for name, packing in packings.exceptions.items()
        }
        self._is_head_tied = False

    @classmethod
    def get_name(cls) -> str:
        """What config.json calls the method."""
        return METHOD

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AmsQuantConfig:
        """As the constructor."""
        return cls(config)

    @classmethod
    def get_min_capability(cls) -> int:
        """The oldest GPU that the kernels serve."""
        return OLDEST

    @staticmethod
    def get_config_filenames() -> list[str]:
        """No file but config.json."""
        return []

    def get_supported_act_dtypes(self) -> list[torch.dtype]:
        """The types of x: float32 on the CPU alone."""
        return [torch.float16, torch.bfloat16, torch.float32]

    def maybe_update_config(
        self, model_name: str, hf_config: Any = None, revision: str | None = None
    ) -> None:
        """Compare a directory's headers with its config.json, and see whether the head is tied.

        Raises:
            FormatError, MismatchError, UnsupportedError: as `read_catalog`.
        """
        if hf_config is not None:
            text = hf_config.get_text_config()  # the language model's part, or all
            self._is_head_tied = bool(getattr(text, "tie_word_embeddings", False))
        if Path(model_name).is_dir():
            read_catalog(model_name)

    def apply_vllm_mapper(self, hf_to_vllm_mapper: Any) -> None:
        """Take the names that layers have in vLLM's model."""
        self._exceptions = hf_to_vllm_mapper.apply_dict(self._exceptions)

    def get_quant_method(self, layer: torch.nn.Module, prefix: str) -> Any:
        """Return what makes and applies the weights of a layer; None for those without any.

        Raises:
            UnsupportedError: packed weights that no product in vLLM takes.
        """
        if isinstance(layer, VocabParallelEmbedding):
            return self._of_vocabulary(layer, prefix)
        if isinstance(layer, LinearBase):
            packing = self._packing(prefix)
            return _packed_linear(packing, prefix) if packing else UnquantizedLinearMethod()
        if isinstance(layer, RoutedExperts) and not self._has_kept_experts(prefix):
            raise UnsupportedError(
                f"{prefix} holds packed experts, for which there is no product in vLLM yet: keep "
                "them by the rule experts=keep when quantising, or dequantise the checkpoint"
            )
        return None

    def _of_vocabulary(self, layer: torch.nn.Module, prefix: str) -> Any:
        """Heads may be packed; of embeddings only exceptions tell: vLLM does not name them all."""
        if isinstance(layer, ParallelLMHead):
            packing = None if self._is_head_tied else self._packing(prefix)
            return _packed_linear(packing, prefix) if packing else UnquantizedEmbeddingMethod()
        if self._exceptions.get(prefix) is None:
            return UnquantizedEmbeddingMethod()
        raise UnsupportedError(
            f"{prefix} is a packed embedding, of which vLLM looks up rows: keep it by a rule when "
            "quantising, or dequantise the checkpoint"
        )

    def _packing(self, prefix: str) -> Packing | None:
        """How a layer is packed, all parts that vLLM merges in it alike; None if it is not."""
        home, _, leaf = prefix.rpartition(".")
        parts = self.packed_modules_mapping.get(leaf, [leaf])
        found = {
            part: self._exceptions.get(f"{home}.{part}".lstrip("."), self._default)
            for part in parts
        }
        forms = {part: _form(packing) for part, packing in found.items()}
        if len(set(forms.values())) > 1:
            listed = ", ".join(f"{part} {form}" for part, form in forms.items())
            raise UnsupportedError(
                f"{prefix} is one matrix in vLLM, but its parts are stored in several ways "
                f"({listed}): quantise them alike, by one rule for all"
            )
        return next(iter(found.values()))

    def _has_kept_experts(self, prefix: str) -> bool:
        """Whether config.json names experts, and none of them packed."""
        named = [p for name, p in self._exceptions.items() if name.startswith(f"{prefix}.")]
        return bool(named) and not any(named)


def _packed_linear(packing: Packing, prefix: str) -> Any:
    from amssim.vllm.method import AmsLinearMethod

    return AmsLinearMethod(packing, prefix)


def _form(packing: Packing | None) -> str:
    """What products depend on, in words."""
    if packing is None:
        return "kept"
    block = f" with scale_block {packing.scale_block}" if packing.scale_block else ""
    return f"{packing.scheme.name}{block}"
