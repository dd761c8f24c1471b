"""Checkpoints as mappings: as stored, as float32, and how many weights their layers have."""

import numpy as np
import pytest

from amssim import InputError, PackedTensor, UnsupportedError
from amssim.checkpoint import (
    FloatCheckpoint,
    inspect_checkpoint,
    linear_sizes,
    load_packed,
    open_checkpoint,
    quantize_checkpoint,
)
from checkpoint.builders import make_model, model_tensors, weights, write_tensors

ALL = {name: array for shard in model_tensors().values() for name, array in shard.items()}
LINEAR = {
    "model.layers.0.mlp.up_proj.weight": 70 * 24,
    "model.layers.0.self_attn.q_proj.weight": 24 * 24,
    "model.layers.1.mlp.experts.down_proj": 3 * 24 * 70,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("mapping") / "model")


@pytest.fixture(scope="module")
def packed(model):
    quantize_checkpoint(model, model.parent / "packed", "fp4.25")
    return model.parent / "packed"


def test_plain_tensors_are_float32_whatever_they_are_stored_as(model):
    tensors = FloatCheckpoint(model)
    assert list(tensors) == sorted(ALL) and len(tensors) == len(ALL)
    for name, array in ALL.items():
        assert name in tensors and tensors[name].dtype == np.float32
        assert np.array_equal(tensors[name], array.astype(np.float32))


def test_packed_tensors_are_what_they_stand_for(model, packed):
    tensors, stored = FloatCheckpoint(packed), open_checkpoint(packed)
    for name in stored:
        if isinstance(stored[name], PackedTensor):
            assert name in LINEAR
            assert np.array_equal(tensors[name], stored[name].dequantize())
            assert tensors[name].shape == stored[name].shape  # matrices of experts stacked
        else:
            assert np.array_equal(tensors[name], FloatCheckpoint(model)[name])


@pytest.mark.parametrize("which", ["model", "packed"])
def test_the_sizes_of_linear_layers_do_not_depend_on_packing(which, request):
    sizes = linear_sizes(request.getfixturevalue(which))
    assert sizes == LINEAR and list(sizes) == sorted(LINEAR)


def test_a_tensor_that_a_rule_packed_counts_and_one_that_it_kept_does_too(model, tmp_path):
    rules = ["lm_head=fp6-e2m3", "up_proj.weight=keep"]
    quantize_checkpoint(model, tmp_path / "out", rules=rules)
    assert linear_sizes(tmp_path / "out") == dict(sorted({**LINEAR, "lm_head.weight": 768}.items()))


def test_a_checkpoint_without_linear_layers(tmp_path):
    src = write_tensors(tmp_path / "a.safetensors", {"a.bias": weights(3), "b.bias": weights(3)})
    with pytest.raises(InputError) as refused:
        linear_sizes(src)
    assert str(refused.value) == (
        f"{src} holds no weights of linear layers among 2 tensors: expected 2-D float tensors "
        "other than embeddings, norms and the output head"
    )


def test_a_name_that_is_not_there(model):
    for tensors in (open_checkpoint(model), FloatCheckpoint(model)):
        assert "nothing" not in tensors and 7 not in tensors
        with pytest.raises(KeyError, match="holds no tensor 'nothing'"):
            _ = tensors["nothing"]


def test_which_of_several_packed_tensors(model, packed):
    with pytest.raises(InputError, match="which packed tensor to load: it holds 3 "):
        load_packed(packed)
    with pytest.raises(InputError, match="no packed tensor 'x': it holds 3 "):
        load_packed(packed, name="x")
    with pytest.raises(InputError, match=r"which packed tensor to load: it holds 0 \(none\)"):
        load_packed(model)
    name = "model.layers.0.mlp.up_proj.weight"
    assert load_packed(packed, name=name) == open_checkpoint(packed)[name]


def test_what_an_inspection_says_of_who_wrote_the_files(model, packed):
    import amssim

    assert inspect_checkpoint(model).versions == []
    assert inspect_checkpoint(packed).versions == [amssim.__version__]
    assert inspect_checkpoint(model).remarks == ()
    with pytest.raises(UnsupportedError, match="may hold pickled weights"):
        (model.parent / "x.bin").write_bytes(b"x")
        inspect_checkpoint(model.parent / "x.bin")
