"""Packed tensors that other tools saved, without manifests: read by config.json, then sealed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from amssim import (
    FormatError,
    MismatchError,
    UnsupportedError,
)
from amssim.checkpoint import (
    FloatCheckpoint,
    dequantize_checkpoint,
    inspect_checkpoint,
    open_checkpoint,
    quantize_checkpoint,
    seal_checkpoint,
    verify_checkpoint,
)
from amssim.checkpoint.jobs.readers import Readers
from amssim.checkpoint.packed.catalog import read_catalog
from checkpoint.builders import contents, make_model, split
from checkpoint.sealed_sets import CONFIG, INDEX, ONE, SEAL, TWO

SCHEMES = ["q_proj=fp6-e3m2", "lm_head=fp5.33"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model and what quantising makes of it."""
    model = make_model(tmp_path_factory.mktemp("made") / "model")
    quantize_checkpoint(model, model.parent / "out", "fp4.25", rules=SCHEMES, scale_block=32)
    return model, model.parent / "out"


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made[1], tmp_path / "out")


def open_descriptors():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def as_others_save(folder, *, squeeze=True, metadata=None, rows_of_experts=True):
    """What other tools make of the files: triples without manifests, some dimensions changed."""
    (folder / SEAL).unlink(missing_ok=True)
    for name in (ONE, TWO):
        tensors = load_file(folder / name)
        for stored, array in list(tensors.items()):
            if stored.endswith("_scale") and squeeze and array.shape[1] == 1:
                tensors[stored] = array[:, 0]
            if rows_of_experts and "experts" in stored and not stored.endswith("_shape"):
                tensors[stored] = array.reshape(3, 24, *array.shape[1:])
        save_file(tensors, folder / name, metadata or {"format": "pt"})
    return folder


def same_weights(one, two):
    one, two = FloatCheckpoint(one), FloatCheckpoint(two)
    assert list(one) == list(two)
    for name in one:
        assert np.array_equal(one[name], two[name]), name


@pytest.mark.parametrize("squeeze", [True, False])
@pytest.mark.parametrize("rows_of_experts", [True, False])
def test_files_of_other_tools(made, out, tmp_path, squeeze, rows_of_experts):
    as_others_save(out, squeeze=squeeze, rows_of_experts=rows_of_experts)
    (remark,) = inspect_checkpoint(out).remarks
    assert remark.startswith("no file has amssim metadata: packed tensors are read by config.json")
    same_weights(out, made[1])
    dequantize_checkpoint(out, tmp_path / "one", "float32")
    dequantize_checkpoint(made[1], tmp_path / "two", "float32")
    same_weights(tmp_path / "one", tmp_path / "two")
    with pytest.raises(UnsupportedError, match="is unsealed and has no checksums: nothing to ver"):
        verify_checkpoint(out)
    data = [split(out / name)[1] for name in (ONE, TWO)]
    config = (out / CONFIG).read_bytes()
    done = seal_checkpoint(out)
    assert done.rewritten == (SEAL, ONE, TWO) and (out / CONFIG).read_bytes() == config
    assert data == [split(out / name)[1] for name in (ONE, TWO)]
    found = verify_checkpoint(out)
    assert (found.packed, found.coverage.by_checksums) == (4, (ONE, TWO))
    same_weights(out, made[1])
    with pytest.raises(UnsupportedError, match="saved without its search and scale rules"):
        verify_checkpoint(out, made[0])


def test_metadata_of_other_tools_are_named_when_they_go(out):
    as_others_save(out, metadata={"format": "pt", "total": "7", "by": "me"})
    done = seal_checkpoint(out)
    assert done.remarks == tuple(
        f"{name}: metadata of other tools are not kept: by, total" for name in (ONE, TWO)
    )
    verify_checkpoint(out)


def test_a_config_that_says_less_than_the_tensors(made, out):
    """A saver may leave out a tensor that is kept, or name one that is gone."""
    as_others_save(out)
    config = json.loads((out / CONFIG).read_text())
    exceptions = config["quantization_config"]["exceptions"]
    del exceptions["model.embed_tokens.weight"]
    exceptions["gone.weight"] = None
    (out / CONFIG).write_text(json.dumps(config))
    same_weights(out, made[1])
    assert seal_checkpoint(out).rewritten == (SEAL, CONFIG, ONE, TWO)
    assert contents(out)[CONFIG] == contents(made[1])[CONFIG]
    verify_checkpoint(out)


def cut_apart(folder, files):
    """Put each stored tensor into the next of so many files, as a saver that knows no parts."""
    tensors = {n: t for name in (ONE, TWO) for n, t in load_file(folder / name).items()}
    names = [f"model-{i + 1:05d}-of-{files:05d}.safetensors" for i in range(files)]
    index = {n: names[i % files] for i, n in enumerate(sorted(tensors))}
    for name in (ONE, TWO):
        (folder / name).unlink()
    for name in names:
        members = {n: t for n, t in tensors.items() if index[n] == name}
        save_file(members, folder / name, {"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))


@pytest.mark.parametrize("files", [2, 5, 17])  # of 17, four hold nothing but parts
def test_parts_of_a_tensor_in_several_files(made, out, tmp_path, files):
    as_others_save(out)
    cut_apart(out, files)
    same_weights(out, made[1])
    dequantize_checkpoint(out, tmp_path / "one", "float32")
    dequantize_checkpoint(made[1], tmp_path / "two", "float32")
    same_weights(tmp_path / "one", tmp_path / "two")
    done = seal_checkpoint(out)
    assert INDEX in done.rewritten and not done.uncovered
    assert seal_checkpoint(out).rewritten == ()
    assert not inspect_checkpoint(out).remarks and verify_checkpoint(out).packed == 4
    same_weights(out, made[1])
    index = json.loads((out / INDEX).read_text())["weight_map"]
    for name in (n.removesuffix("_packed") for n in index if n.endswith("_packed")):
        assert len({index[name + part] for part in ("_packed", "_scale", "_shape")}) == 1
    dequantize_checkpoint(out, tmp_path / "three", "float32")
    same_weights(tmp_path / "one", tmp_path / "three")


def test_a_file_that_changes_while_parts_are_read_from_it(out):
    as_others_save(out)
    cut_apart(out, 2)
    opened = open_checkpoint(out)
    for path in out.glob("*.safetensors"):
        path.write_bytes(path.read_bytes())
    with pytest.raises(MismatchError, match="changed"):
        opened[UP]


def test_every_file_of_a_reader_is_watched_and_closed(out):
    as_others_save(out)
    cut_apart(out, 2)
    header = next(h for h in read_catalog(out).checkpoint.shards.values() if h.elsewhere)
    (other,) = {h.path for h in header.elsewhere.values()}
    before, readers = open_descriptors(), Readers()
    with readers.reader(header) as reader:
        reader.check_stamps()
        other.write_bytes(other.read_bytes() + b" ")
        with pytest.raises(MismatchError, match=f"{other.name} changed"):
            reader.check_stamps()
    readers.close()
    assert open_descriptors() == before


def test_a_name_of_weights_that_the_source_has_stays(made, tmp_path):
    model = shutil.copytree(made[0], tmp_path / "model")
    config = json.loads((model / CONFIG).read_text()) | {"transformers_weights": "x.safetensors"}
    (model / CONFIG).write_text(json.dumps(config))
    quantize_checkpoint(model, tmp_path / "out")
    dequantize_checkpoint(tmp_path / "out", tmp_path / "plain")
    for name in ("out", "plain"):
        stored = json.loads((tmp_path / name / CONFIG).read_text())
        assert stored["transformers_weights"] == "x.safetensors"
    dequantize_checkpoint(made[1], tmp_path / "other")
    assert "transformers_weights" not in json.loads((tmp_path / "other" / CONFIG).read_text())


def test_files_without_that_key_are_read_and_sealed(out):
    config = json.loads((out / CONFIG).read_text())
    del config["transformers_weights"]
    (out / CONFIG).write_text(json.dumps(config))
    (out / SEAL).unlink()
    assert CONFIG not in seal_checkpoint(out).rewritten  # nothing is added to what has manifests
    assert verify_checkpoint(out).packed == 4


def stated(change):
    def edit(folder):
        config = json.loads((folder / CONFIG).read_text())
        change(config["quantization_config"])
        (folder / CONFIG).write_text(json.dumps(config))

    return edit


def reshape(part, shape):
    def change(folder):
        tensors = load_file(folder / ONE)
        name = f"model.layers.0.mlp.up_proj.weight_{part}"
        tensors[name] = tensors[name].reshape(shape)
        save_file(tensors, folder / ONE)

    return change


UP = "model.layers.0.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        (
            stated(lambda q: q.pop("default")),
            FormatError,
            "lacks default: without amssim metadata",
        ),
        (stated(lambda q: q.update(k=4)), FormatError, "has the unknown key 'k'"),
        (stated(lambda q: q.update(format="x")), UnsupportedError, "names the format 'x' of versi"),
        (stated(lambda q: q.update(version=1)), UnsupportedError, "of version 1: this version re"),
        (stated(lambda q: q.update(exceptions=[])), FormatError, "exceptions must be objects"),
        (stated(lambda q: q.update(default=[])), FormatError, "default must be null or have sche"),
        (
            stated(lambda q: q["default"].update(scheme="fp9")),
            UnsupportedError,
            "default: the scheme 'fp9' is none that this version knows",
        ),
        (
            stated(lambda q: q["default"].update(scale_block=True)),
            FormatError,
            "default: scale_block must be null or positive, found True",
        ),
        (
            stated(lambda q: q["schemes"]["fp4.25-e2m2"].update(k=4.0)),
            MismatchError,
            "schemes says of fp4.25-e2m2, k: 4.0, expected 4",
        ),
        (
            stated(lambda q: q["exceptions"].update({UP: None})),
            MismatchError,
            f"says that '{UP}' is not packed, it is",
        ),
        (
            stated(lambda q: q["exceptions"].update(x={"scheme": "fp6-e2m3", "scale_block": None})),
            MismatchError,
            "schemes says of fp6-e2m3: null, expected {",
        ),
        (
            stated(
                lambda q: q["exceptions"].update(x={"scheme": "fp4.25-e2m2", "scale_block": None})
            ),
            MismatchError,
            "says that 'x' is fp4.25-e2m2, but no such packed tensor is stored",
        ),
        (reshape("packed", (-1,)), FormatError, "takes U16[70, 17]"),
        (reshape("scale", (1, 70)), FormatError, "takes F32[70, 1]"),
    ],
)
def test_what_other_tools_saved_and_is_refused(out, change, kind, sentence):
    as_others_save(out)
    change(out)
    before = contents(out)
    for read in (open_checkpoint, seal_checkpoint):
        with pytest.raises(kind) as refused:
            read(out)
        assert sentence in str(refused.value) and "\n" not in str(refused.value)
    assert contents(out) == before
