"""Index and directory: what is written is read back, and what lies beside the shards."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import AmsError, FormatError, UnsafePathError
from amssim.checkpoint.safetensors.files import check_distinct, check_shard_name, read_whole
from amssim.checkpoint.safetensors.shards import (
    Index,
    encode_config,
    read_checkpoint,
    read_index,
)
from checkpoint.builders import INDEX, make_model, weights, write_tensors

shard_names = st.from_regex(r"[a-z0-9_]{1,5}\.safetensors", fullmatch=True)
text = st.text(st.characters(codec="utf-8"), max_size=6)


@given(
    st.dictionaries(text, shard_names, min_size=1),
    st.dictionaries(text, st.integers() | text | st.none(), max_size=3),
    st.randoms(),
)
def test_an_index_is_read_as_it_was_written(tmp_path_factory, shard_of, metadata, random):
    path = tmp_path_factory.mktemp("index") / INDEX
    index = Index(shard_of, metadata)
    path.write_bytes(index.encode())
    assert read_index(path) == index
    assert index.shards == sorted(set(shard_of.values()))
    names = list(shard_of)
    random.shuffle(names)
    assert Index({name: shard_of[name] for name in names}, metadata).encode() == index.encode()


@given(st.text(max_size=20) | st.integers() | st.none())
def test_a_shard_name_never_leads_out_of_its_directory(name):
    try:
        checked = check_shard_name(name, "x")
    except UnsafePathError as error:
        assert "expected a plain file name such as" in str(error)
        return
    assert checked == name and name.endswith(".safetensors")
    assert not set(name) & set("/\\:\0\n") and name[0] not in ".-"


@given(st.lists(shard_names, unique=True, max_size=4), st.randoms())
def test_names_that_differ_in_case_are_one_file_on_some_disks(names, random):
    check_distinct(names, "x")
    if names:
        twin = random.choice(names).upper()
        with pytest.raises(UnsafePathError, match="differ only in case"):
            check_distinct([*names, twin], "x")


@given(st.dictionaries(text, text | st.floats() | st.lists(st.none()), max_size=4))
def test_a_config_is_read_as_it_was_written(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("config")
    write_tensors(folder / "a.safetensors", {"a": weights(2)})
    (folder / "config.json").write_bytes(encode_config(config))
    read = read_checkpoint(folder).config
    assert list(read) == list(config) and repr(read) == repr(config)
    assert encode_config(read) == encode_config(config)


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ([], "must hold a weight_map from tensors to shards"),
        ({}, "must hold a weight_map from tensors to shards"),
        ({"weight_map": {}}, "must hold a weight_map from tensors to shards"),
        ({"weight_map": ["a"]}, "must hold a weight_map from tensors to shards"),
        ({"weight_map": {"a": "a.safetensors"}, "metadata": []}, "must hold a weight_map"),
        ({"weight_map": {"a": "b.safetensors"}}, "names b.safetensors, which is missing"),
        ({"weight_map": {"z": "a.safetensors"}}, "maps 'z' to a.safetensors, which does not hold"),
        ({"weight_map": {"a": "a.safetensors"}}, "a.safetensors holds 'b', which"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(tmp_path, index, sentence):
    write_tensors(tmp_path / "a.safetensors", {"a": weights(2), "b": weights(3)})
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(FormatError) as refused:
        read_checkpoint(tmp_path)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_an_index_whose_metadata_are_null(tmp_path):
    write_tensors(tmp_path / "a.safetensors", {"a": weights(2)})
    (tmp_path / INDEX).write_text('{"weight_map": {"a": "a.safetensors"}, "metadata": null}')
    assert read_index(tmp_path / INDEX) == Index({"a": "a.safetensors"}, {})
    assert read_checkpoint(tmp_path).remarks == ()


def test_a_tensor_in_two_shards(tmp_path):
    for shard in ("a", "b"):
        write_tensors(tmp_path / f"{shard}.safetensors", {"x": weights(2), shard: weights(2)})
    where = {"x": "a.safetensors", "a": "a.safetensors", "b": "b.safetensors"}
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": where}))
    with pytest.raises(FormatError, match="'x' lies in two shards, a"):
        read_checkpoint(tmp_path)


def test_what_belongs_to_a_checkpoint_beside_its_shards(tmp_path):
    model = make_model(tmp_path / "model")
    belong = ["generation_config.json", "LICENSE", "merges.txt", "tokenizer.json", "x.py"]
    others = [".gitattributes", "a.bin", "a.pt", "a.gguf", "pytorch_model.bin.index.json", "folder"]
    for name in (*belong, *others[:-1], "old.safetensors"):
        (model / name).write_text("x")
    (model / "folder").mkdir()
    copied, left_out = read_checkpoint(model).other_files()
    assert copied == sorted(belong) and left_out == sorted([*others, "old.safetensors"])
    single = write_tensors(tmp_path / "one.safetensors", {"a": weights(2)})
    assert read_checkpoint(single).other_files() == ([], [])


def test_a_file_that_is_too_large_to_be_json(tmp_path):
    (tmp_path / "x").write_bytes(bytes(11))
    assert read_whole(tmp_path / "x", 11) == bytes(11)
    with pytest.raises(FormatError, match=r"x is too large: 11 bytes, at most 10 expected"):
        read_whole(tmp_path / "x", 10)


@pytest.mark.parametrize("name", [INDEX, "config.json", "model-00001-of-00002.safetensors"])
@pytest.mark.parametrize("size", [0, 1, 7, 40])
def test_a_file_cut_off_anywhere_is_one_sentence(tmp_path, name, size):
    model = make_model(tmp_path / "model")
    path = model / name
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(AmsError) as refused:
        read_checkpoint(model)
    assert name in str(refused.value) and "\n" not in str(refused.value)
