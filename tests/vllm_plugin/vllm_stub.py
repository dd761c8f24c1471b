"""As much of vLLM 0.32 as the plug-in meets: its classes with their loaders, without a machine.

`installed` puts them where ``import vllm`` finds them. Loaders of parameters cut as vLLM's do.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn


class QuantizationConfig:
    def __init__(self):
        self.packed_modules_mapping = {}


class LinearMethodBase:
    pass


class UnquantizedLinearMethod(LinearMethodBase):
    pass


class UnquantizedEmbeddingMethod:
    pass


class ModelWeightParameter(nn.Parameter):
    def __new__(cls, data, **_):
        return super().__new__(cls, data=data, requires_grad=False)

    def __init__(self, data, input_dim, output_dim, weight_loader):
        self.input_dim, self.output_dim, self.weight_loader = input_dim, output_dim, weight_loader
        self.tp_rank = 0

    def load_column_parallel_weight(self, loaded_weight):
        size = self.data.shape[0]
        self.data.copy_(loaded_weight.narrow(0, self.tp_rank * size, size))

    def load_merged_column_weight(self, loaded_weight, shard_offset, shard_size):
        part = loaded_weight.narrow(0, self.tp_rank * shard_size, shard_size)
        self.data.narrow(0, shard_offset, shard_size).copy_(part)

    def load_row_parallel_weight(self, loaded_weight):
        raise NotImplementedError("equal parts of columns")


class LinearBase(nn.Module):
    """Columns whole, rows cut: also what merges several matrices."""

    def __init__(self, columns, rows, config, prefix, *, rank=0, ranks=1, bias=False, dtype=None):
        super().__init__()
        self.tp_rank, self.tp_size, self.rows = rank, ranks, rows
        self.quant_method = config.get_quant_method(self, prefix)
        self.quant_method.create_weights(
            layer=self,
            **self.sizes(columns),
            input_size=columns,
            output_size=sum(rows),
            params_dtype=dtype or torch.float32,
            weight_loader=self.weight_loader_v2,
        )
        self.bias = nn.Parameter(torch.zeros(sum(self.own_rows), dtype=dtype)) if bias else None
        for parameter in self.parameters():
            parameter.tp_rank = rank

    @property
    def own_rows(self):
        return [rows // self.tp_size for rows in self.rows]

    def sizes(self, columns):
        return {"input_size_per_partition": columns, "output_partition_sizes": self.own_rows}

    def weight_loader_v2(self, param, loaded_weight, shard=None):
        if shard is None:
            param.load_column_parallel_weight(loaded_weight)
            return
        offset, size = sum(self.own_rows[:shard]), self.own_rows[shard]
        param.load_merged_column_weight(loaded_weight, shard_offset=offset, shard_size=size)

    def forward(self, x):
        return self.quant_method.apply(self, x, self.bias)


class RowParallelLinear(LinearBase):
    """Rows whole, columns cut."""

    own_rows = property(lambda self: self.rows)

    def sizes(self, columns):
        part = columns // self.tp_size
        return {"input_size_per_partition": part, "output_partition_sizes": self.rows}

    def weight_loader_v2(self, param, loaded_weight):
        param.load_row_parallel_weight(loaded_weight)


class VocabParallelEmbedding(nn.Module):
    """Rows cut, and padded to whole multiples."""

    def __init__(self, rows, columns, config, prefix):
        super().__init__()
        self.tp_rank, padded = 0, -(-rows // 64) * 64
        self.quant_method = config.get_quant_method(self, prefix)
        if not isinstance(self.quant_method, UnquantizedEmbeddingMethod):
            self.quant_method.create_weights(
                self, columns, [padded], columns, padded,
                params_dtype=torch.float32, weight_loader=self.weight_loader,
            )  # fmt: skip

    def weight_loader(self, param, loaded_weight):
        param[: loaded_weight.shape[0]].data.copy_(loaded_weight)
        param[loaded_weight.shape[0] :].data.fill_(0)


class ParallelLMHead(VocabParallelEmbedding):
    pass


class RoutedExperts(nn.Module):
    pass


METHODS: list[str] = []
REGISTERED: dict[str, type] = {}
CAPTURED = SimpleNamespace(compilation_config=SimpleNamespace(cudagraph_capture_sizes=[1, 2, 8]))


def register_quantization_config(name):
    def register(config):
        METHODS.append(name)
        REGISTERED[name] = config

    return register


LAYERS = "vllm.model_executor.layers"
NAMES = {
    "vllm": {},
    "vllm.config": {"get_current_vllm_config": lambda: CAPTURED},
    "vllm.model_executor": {},
    "vllm.model_executor.parameter": {"ModelWeightParameter": ModelWeightParameter},
    LAYERS: {},
    f"{LAYERS}.fused_moe": {"RoutedExperts": RoutedExperts},
    f"{LAYERS}.linear": {
        "LinearBase": LinearBase,
        "LinearMethodBase": LinearMethodBase,
        "UnquantizedLinearMethod": UnquantizedLinearMethod,
        "register_weight_loader_v2_supported_method": lambda cls: cls,
    },
    f"{LAYERS}.quantization": {
        "QUANTIZATION_METHODS": METHODS,
        "register_quantization_config": register_quantization_config,
    },
    f"{LAYERS}.quantization.base_config": {"QuantizationConfig": QuantizationConfig},
    f"{LAYERS}.vocab_parallel_embedding": {
        "ParallelLMHead": ParallelLMHead,
        "UnquantizedEmbeddingMethod": UnquantizedEmbeddingMethod,
        "VocabParallelEmbedding": VocabParallelEmbedding,
    },
}


@contextmanager
def installed():
    """Stand in for vLLM, and take what was imported meanwhile away again."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_concerned(name)}
    for name, contents in NAMES.items():
        module = sys.modules[name] = ModuleType(name)
        module.__spec__, module.__path__ = ModuleSpec(name, None), []
        vars(module).update(contents)
    METHODS.clear()
    REGISTERED.clear()
    try:
        yield
    finally:
        for name in list(sys.modules):
            if _is_concerned(name):
                del sys.modules[name]
        sys.modules.update(before)


def _is_concerned(name):
    return name.split(".")[0] == "vllm" or name.startswith("amssim.vllm")
