"""Directories of shards: names that lead elsewhere, and an index that says something else."""

import json
import os

import pytest

from amssim import FormatError, InputError, UnsafePathError, UnsupportedError
from amssim.checkpoint.safetensors.shards import read_checkpoint
from checkpoint.builders import INDEX, make_model, raw_file

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


def change_index(model, change):
    index = json.loads((model / INDEX).read_text())
    change(index)
    (model / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize(
    "name",
    [
        "../x.safetensors",
        "/etc/x.safetensors",
        "a/x.safetensors",
        "a\\x.safetensors",
        "C:x.safetensors",
        "x\0.safetensors",
        "x\n.safetensors",
        "",
        ".safetensors",
        "..",
        "-x.safetensors",
        ".x.safetensors",
        "x.bin",
        "x.safetensors.exe",
        7,
        None,
    ],
)
def test_33_a_shard_name_that_is_no_plain_file_name(model, name):
    change_index(model, lambda index: index["weight_map"].update({"lm_head.weight": name}))
    with pytest.raises(UnsafePathError) as found:
        read_checkpoint(model)
    assert f"names the shard {name!r}: expected a plain file name" in str(found.value)


def test_33_shards_that_are_one_file_where_case_does_not_count(model):
    change_index(model, lambda i: i["weight_map"].update({"x": ONE.upper()[:-12] + ".safetensors"}))
    with pytest.raises(UnsafePathError, match="differ only in case"):
        read_checkpoint(model)


def test_34_links_are_followed_for_reading(model, tmp_path):
    (tmp_path / "blob").write_bytes((model / ONE).read_bytes())
    (model / ONE).unlink()
    (model / ONE).symlink_to(tmp_path / "blob")
    assert len(read_checkpoint(model).items()) == 9


@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_34_a_shard_that_is_no_file(model, kind):
    (model / ONE).unlink()
    if kind == "pipe":
        os.mkfifo(model / ONE)
    elif kind == "directory":
        (model / ONE).mkdir()
    else:
        (model / ONE).symlink_to("/dev/zero")
    with pytest.raises(FormatError, match=f"{ONE} is not a regular file"):
        read_checkpoint(model)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda i: i["weight_map"].update({"x": "model-3.safetensors"}),
            "names model-3.safetensors, which is missing",
        ),
        (
            lambda i: i["weight_map"].update({"x": ONE}),
            f"maps 'x' to {ONE}, which does not hold it",
        ),
        (
            lambda i: i["weight_map"].pop("lm_head.weight"),
            f"{TWO} holds 'lm_head.weight', which",
        ),
        (
            lambda i: i.update(weight_map=dict.fromkeys(i["weight_map"], TWO)),
            f"to {TWO}, which does not hold it",
        ),
        (
            lambda i: [
                i["weight_map"].pop(t) for t, s in list(i["weight_map"].items()) if s == TWO
            ],
            f"{TWO} is a shard that {INDEX} does not name",
        ),
        (lambda i: i.pop("weight_map"), "must hold a weight_map"),
        (lambda i: i.update(weight_map={}), "must hold a weight_map"),
        (lambda i: i.update(metadata=[]), "must hold a weight_map"),
    ],
)
def test_35_an_index_that_is_wrong(model, change, sentence):
    change_index(model, change)
    with pytest.raises(FormatError) as found:
        read_checkpoint(model)
    assert sentence in str(found.value)


def test_35_a_tensor_in_two_shards(model):
    (model / TWO).write_bytes((model / ONE).read_bytes())
    change_index(
        model,
        lambda i: i.update(weight_map={t: s for t, s in i["weight_map"].items() if s == ONE}),
    )
    change_index(model, lambda i: i["weight_map"].update({"model.embed_tokens.weight": TWO}))
    with pytest.raises(FormatError, match="lies in two shards"):
        read_checkpoint(model)


def test_35_a_wrong_total_size_is_remarked_only(model):
    change_index(model, lambda index: index["metadata"].update(total_size=1))
    (remark,) = read_checkpoint(model).remarks
    assert "claims a total_size of 1, the tensors take" in remark


def test_a_file_beside_the_shards_is_remarked(model):
    (model / "consolidated.safetensors").write_bytes(raw_file({}))
    (remark,) = read_checkpoint(model).remarks
    assert remark.startswith("consolidated.safetensors is not part of the checkpoint")


def test_an_index_that_is_no_json(model):
    (model / INDEX).write_text('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}')
    with pytest.raises(FormatError, match="holds the key 'a' twice"):
        read_checkpoint(model)


def test_39_pickled_weights_are_never_opened(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    for path in (tmp_path, tmp_path / "pytorch_model.bin"):
        with pytest.raises(UnsupportedError, match=r"pytorch_model\.bin may hold pickled weights"):
            read_checkpoint(path)


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(InputError, match="nothing does not exist"):
        read_checkpoint(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"holds no \.safetensors file"):
        read_checkpoint(tmp_path)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(UnsupportedError, match=r"expected a \.safetensors file"):
        read_checkpoint(tmp_path / "x.txt")
    for name in "ab":
        (tmp_path / f"{name}.safetensors").write_bytes(raw_file({}))
    with pytest.raises(FormatError, match=f"holds 2 .safetensors files but no {INDEX}"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1, "a": 2}', "\xff"])
def test_a_config_that_is_damaged(model, text):
    (model / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match=r"config\.json"):
        read_checkpoint(model)
