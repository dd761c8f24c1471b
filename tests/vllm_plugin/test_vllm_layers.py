"""The plug-in for vLLM against stand-ins of its classes: which layers, right products, refusals."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import amssim  # noqa: E402
from amssim.errors import FormatError, InputError, MismatchError, UnsupportedError  # noqa: E402
from vllm_plugin import vllm_stub as stub  # noqa: E402

ROOT = Path(__file__).parents[2]
NAME = "model.layers.0.self_attn.o_proj"
FORMS = [
    ("fp5.33-e2m3", 200, None),
    ("fp5.33-e2m3", 192, 48),
    ("fp5.33-e2m3", 200, 32),
    ("fp4.25-e2m2", 224, None),
    ("fp4.25-e2m2", 256, 64),
    ("fp6-e2m3", 200, None),
]
EACH_FORM = pytest.mark.parametrize(("scheme", "columns", "block"), FORMS)


@pytest.fixture(autouse=True)
def vllm():
    with stub.installed():
        from amssim.vllm import register

        register()
        yield


def stated(scheme="fp5.33-e2m3", block=None, **exceptions):
    """The quantization_config of a config.json, exceptions by the last name of their layer."""
    form = {"scheme": scheme, "scale_block": block}
    others = {f"model.layers.0.self_attn.{leaf}.weight": e for leaf, e in exceptions.items()}
    schemes = {e["scheme"] for e in (form, *others.values()) if e}
    element = {name: amssim.scheme(name) for name in schemes}
    return {
        "quant_method": "ams",
        "format": "ams-packed",
        "version": amssim.__version__,
        "schemes": {
            name: {
                "exponent_bits": s.minifloat.exponent_bits,
                "mantissa_bits": s.minifloat.mantissa_bits,
                "bias": s.minifloat.bias,
                "k": s.k,
            }
            for name, s in element.items()
        },
        "default": form,
        "exceptions": others,
    }


def config(*args, **kwargs):
    made = stub.REGISTERED["ams"].from_config(stated(*args, **kwargs))
    made.packed_modules_mapping = {"qkv_proj": ["q_proj", "k_proj", "v_proj"]}
    return made


def packed_of(scheme, columns, block=None, rows=24):
    weights = np.random.default_rng(columns + rows).standard_normal((rows, columns)).astype("f")
    return amssim.quantize(weights, scheme, scale_block=block)


def load(layer, packed, *shard):
    """Hand a layer what a file holds of a tensor, as vLLM's models do."""
    parts = {
        "weight_packed": torch.from_numpy(packed.words.copy()),
        "weight_scale": torch.from_numpy(packed.scales.copy()),
        "weight_shape": torch.tensor(packed.shape),
    }
    for name, value in parts.items():
        parameter = getattr(layer, name)
        parameter.weight_loader(parameter, value, *shard)


def finish(layer):
    layer.quant_method.process_weights_after_loading(layer)
    return layer


def exact(packed, x):
    return x.double() @ torch.from_numpy(packed.dequantize(np.float64)).T


def batch(columns, rows=5):
    generator = torch.Generator().manual_seed(columns)
    return torch.randn(rows, columns, generator=generator)


def check(found, expected, tolerance=1e-5):
    torch.testing.assert_close(
        found.double(), expected, rtol=0, atol=tolerance * float(expected.abs().max())
    )


# --- products ---------------------------------------------------------------------------------


@EACH_FORM
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_whole_layer(scheme, columns, block, dtype):
    packed, x = packed_of(scheme, columns, block), batch(columns).to(dtype)
    layer = stub.LinearBase(columns, [24], config(scheme, block), NAME, bias=True, dtype=dtype)
    load(layer, packed)
    with torch.no_grad():
        layer.bias += 3
    y = finish(layer)(x.view(1, 5, columns))
    assert y.dtype == dtype and y.shape == (1, 5, 24)
    check(y[0], exact(packed, x) + 3, 1e-5 if dtype == torch.float32 else 1e-2)


@EACH_FORM
@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_ranks_of_a_row_parallel_layer_add_up(scheme, columns, block, ranks):
    packed, x = packed_of(scheme, columns, block), batch(columns)
    outputs = []
    for rank, part in enumerate(x.chunk(ranks, dim=1)):
        layer = stub.RowParallelLinear(
            columns, [24], config(scheme, block), NAME, rank=rank, ranks=ranks
        )
        load(layer, packed)
        outputs.append(finish(layer)(part))
    check(sum(outputs).double(), exact(packed, x))


@EACH_FORM
def test_merged_parts_are_cut_by_rows(scheme, columns, block):
    parts = [packed_of(scheme, columns, block, rows) for rows in (16, 8, 4)]
    x, found = batch(columns), []
    for rank in range(2):
        layer = stub.LinearBase(
            columns, [16, 8, 4], config(scheme, block), NAME.replace("o_proj", "qkv_proj"),
            rank=rank, ranks=2,
        )  # fmt: skip
        for shard, packed in enumerate(parts):
            load(layer, packed, shard)
        found.append(finish(layer)(x).split([8, 4, 2], dim=1))
    for index, packed in enumerate(parts):
        check(torch.cat([of_rank[index] for of_rank in found], dim=1), exact(packed, x))


def test_a_packed_head_has_zeros_behind_its_vocabulary():
    packed, x = packed_of("fp5.33", 200, rows=70), batch(200)
    head = stub.ParallelLMHead(70, 200, config(), "lm_head")
    load(head, packed)
    y = finish(head).quant_method.apply(head, x)
    check(y[:, :70], exact(packed, x))
    assert y.shape == (5, 128) and not y[:, 70:].any()


def test_what_is_stored_is_let_go():
    layer = stub.LinearBase(200, [24], config(), NAME)
    load(layer, packed_of("fp5.33", 200))
    finish(layer)
    finish(layer)  # vLLM may ask twice
    assert not hasattr(layer, "weight_shape")
    assert not any(p.requires_grad for p in layer.parameters())


def test_graphs_of_a_gpu_find_their_kernels_loaded(monkeypatch):
    import cuda_kernels
    from amssim.vllm import method

    asked = []
    monkeypatch.setattr(method, "gpu_layout", lambda *of: of)
    monkeypatch.setattr(cuda_kernels, "prepare", lambda *of: asked.append(of))
    layer = stub.LinearBase(200, [24], config(), NAME, dtype=torch.float16)
    layer.quant_method._prepare(torch.device("cuda", 1), 24)
    assert asked == [([(1, ("fp5.33-e2m3", 200, 0), 24)], [1, 2, 8], ["float16"])]
    single = stub.LinearBase(200, [24], config(), NAME)
    with pytest.raises(InputError, match="float16 or bfloat16, found"):
        single.quant_method._prepare(torch.device("cuda", 1), 24)


# --- which layers -----------------------------------------------------------------------------


def test_kept_layers_are_left_to_vllm():
    made = config(o_proj=None, q_proj=None, k_proj=None, v_proj=None)
    layer = stub.LinearBase.__new__(stub.LinearBase)
    for leaf in ("o_proj", "qkv_proj"):
        method = made.get_quant_method(layer, NAME.replace("o_proj", leaf))
        assert type(method) is stub.UnquantizedLinearMethod
    assert made.get_quant_method(torch.nn.Identity(), NAME) is None


@pytest.mark.parametrize(("scheme", "block"), [("fp4.25-e2m2", None), ("fp5.33-e2m3", 48)])
def test_exceptions_have_a_scheme_of_their_own(scheme, block):
    made = config(o_proj={"scheme": scheme, "scale_block": block})
    packed, x = packed_of(scheme, 200, block), batch(200)
    layer = stub.LinearBase(200, [24], made, NAME)
    load(layer, packed)
    check(finish(layer)(x), exact(packed, x))


def test_names_follow_the_model_of_vllm():
    class Mapper:
        def apply_dict(self, names):
            return {f"language_model.{name}": value for name, value in names.items()}

    made = config(o_proj=None)
    made.apply_vllm_mapper(Mapper())
    layer = stub.LinearBase.__new__(stub.LinearBase)
    method = made.get_quant_method(layer, f"language_model.{NAME}")
    assert type(method) is stub.UnquantizedLinearMethod


@pytest.mark.parametrize("is_tied", [True, False])
def test_a_tied_head_is_the_embedding(is_tied, tmp_path):
    text = type("Text", (), {"tie_word_embeddings": is_tied})()
    model = type("Model", (), {"get_text_config": lambda self: text})()
    made = config()
    made.maybe_update_config(str(tmp_path / "of-a-hub"), hf_config=model)
    head = stub.ParallelLMHead.__new__(stub.ParallelLMHead)
    method = made.get_quant_method(head, "lm_head")
    assert isinstance(method, stub.UnquantizedEmbeddingMethod) == is_tied


# --- refusals ---------------------------------------------------------------------------------


def refused(message, made, layer_class, prefix):
    layer = layer_class.__new__(layer_class)
    with pytest.raises(UnsupportedError, match=message):
        made.get_quant_method(layer, prefix)


def test_parts_of_one_matrix_need_one_form():
    made = config(k_proj=None, v_proj={"scheme": "fp5.33-e2m3", "scale_block": 48})
    message = re.escape("q_proj fp5.33-e2m3, k_proj kept, v_proj fp5.33-e2m3 with scale_block 48")
    refused(message, made, stub.LinearBase, "model.layers.0.self_attn.qkv_proj")


def test_experts_must_be_kept():
    experts = "model.layers.0.self_attn.experts"
    refused("packed experts, for which", config(), stub.RoutedExperts, experts)
    one = {"experts.0.up_proj": None, "experts.1.up_proj": stated()["default"]}
    refused("packed experts, for which", config(**one), stub.RoutedExperts, experts)
    kept = config(**dict.fromkeys(one))
    layer = stub.RoutedExperts.__new__(stub.RoutedExperts)
    assert kept.get_quant_method(layer, experts) is None


def test_embeddings_must_be_kept():
    embedding = "model.layers.0.self_attn.embed"
    packed = config(embed=stated()["default"] | {"scale_block": 48})
    refused("packed embedding", packed, stub.VocabParallelEmbedding, embedding)
    unnamed = stub.VocabParallelEmbedding.__new__(stub.VocabParallelEmbedding)
    method = config().get_quant_method(unnamed, "")
    assert isinstance(method, stub.UnquantizedEmbeddingMethod)


def test_schemes_must_be_known():
    other = stated() | {"default": {"scheme": "fp5.33-e9m9", "scale_block": None}}
    with pytest.raises(UnsupportedError, match="none that this version knows"):
        stub.REGISTERED["ams"].from_config(other)


def test_config_json_must_say_how_tensors_are_packed():
    older = {k: v for k, v in stated().items() if k not in ("default", "exceptions")}
    with pytest.raises(FormatError, match="lacks default, exceptions"):
        stub.REGISTERED["ams"].from_config(older)


def test_missing_weights_are_an_error():
    layer = stub.LinearBase(200, [16, 8], config(), NAME)
    load(layer, packed_of("fp5.33", 200, rows=16), 0)
    with pytest.raises(FormatError, match=f"no weights for {NAME}, or not for all"):
        finish(layer)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("weight_packed", torch.zeros(24, 67, dtype=torch.int32), "int32.*expected torch.uint16"),
        ("weight_packed", torch.zeros(24, 66, dtype=torch.uint16), r"\[24, 66\].*67 in a row"),
        ("weight_scale", torch.ones(24, 1, dtype=torch.bfloat16), "expected torch.float32"),
        ("weight_scale", torch.ones(24, 5), r"\[24, 5\].*1 in a row"),
        ("weight_shape", torch.tensor([24, 201]), r"\[24, 201\], expected 200 columns"),
        ("weight_shape", torch.tensor([2, 24, 200]), r"\[2, 24, 200\], expected"),
    ],
)
@pytest.mark.parametrize("kind", [stub.LinearBase, stub.RowParallelLinear])
def test_what_is_loaded_must_fit(kind, part, value, message):
    layer = kind(200, [24], config(), NAME)
    parameter = getattr(layer, part)
    with pytest.raises(FormatError, match=f"^{NAME}: .*{message}"):
        parameter.weight_loader(parameter, value)


def test_a_directory_must_agree_with_its_config(tmp_path):
    from safetensors.numpy import save_file

    weights = np.random.default_rng(0).standard_normal((24, 200)).astype("f")
    (tmp_path / "float").mkdir()
    save_file({f"{NAME}.weight": weights}, tmp_path / "float" / "model.safetensors")
    (tmp_path / "float" / "config.json").write_text("{}")
    path = tmp_path / "packed"
    amssim.quantize_checkpoint(tmp_path / "float", path, "fp5.33")
    told = json.loads((path / "config.json").read_text())["quantization_config"]
    made = stub.REGISTERED["ams"].from_config(told)
    made.maybe_update_config(str(path))
    (path / "config.json").write_text(json.dumps({"quantization_config": stated("fp4.25-e2m2")}))
    with pytest.raises(MismatchError):
        made.maybe_update_config(str(path))


# --- the entry point --------------------------------------------------------------------------


def test_vllm_finds_the_plug_in_and_may_call_it_twice():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["vllm.general_plugins"] == {"ams": "amssim.vllm:register"}
    import amssim.vllm

    amssim.vllm.register()
    assert stub.METHODS == ["ams"]
    assert stub.REGISTERED["ams"].get_name() == "ams"


LIGHT = """
import sys
import amssim.vllm
print(*sys.modules.keys() & {"vllm", "torch", "numba", "llvmlite"})
from vllm_plugin import vllm_stub
with vllm_stub.installed():
    from amssim.vllm import register
    register()
    print(*sys.modules.keys() & {"numba", "llvmlite"})
"""


def test_registering_loads_no_compiler():
    """A worker of vLLM on the CPU ends if Numba is there before it."""
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )  # fmt: skip
    assert done.stdout.split() == []
