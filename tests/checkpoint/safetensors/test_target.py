"""Where output may go."""

import pytest

from amssim import OutputError
from amssim.checkpoint.safetensors.output import checkpoint_target, file_target
from amssim.checkpoint.safetensors.shards import read_checkpoint
from checkpoint.builders import make_model

ONE = "model-00001-of-00002.safetensors"


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


def refused(source, dst, sentence, overwrite=False):
    with pytest.raises(OutputError) as found:
        checkpoint_target(read_checkpoint(source), dst, overwrite=overwrite)
    assert sentence in str(found.value)


def test_36_the_source_itself(model, tmp_path):
    (tmp_path / "link").symlink_to(model)
    for dst in (model, tmp_path / "link", model / ".." / "model"):
        refused(model, dst, "is the source itself", overwrite=True)
    refused(model / ONE, model / ONE, "is the source itself", overwrite=True)


def test_36_inside_the_source(model, tmp_path):
    (tmp_path / "link").symlink_to(model)
    for dst in (model / "out", tmp_path / "link" / "a" / "b"):
        refused(model, dst, "lies inside the source", overwrite=True)


def test_37_an_output_that_is_not_empty(model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert checkpoint_target(read_checkpoint(model), out, overwrite=False).home == out
    (out / "notes.txt").write_text("mine")
    refused(model, out, "is not empty: choose another directory, or --overwrite")
    assert checkpoint_target(read_checkpoint(model), out, overwrite=True).home == out


def test_37_what_would_be_left_over(model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "model-00003-of-00003.safetensors").write_text("other")
    refused(model, out, "holds model-00003-of-00003.safetensors, which would not", overwrite=True)


def test_a_file_and_a_directory_are_not_mixed(model, tmp_path):
    (tmp_path / "file").write_text("x")
    refused(model, tmp_path / "file", "exists and is no directory", overwrite=True)
    refused(model / ONE, tmp_path / "file", "must be named *.safetensors", overwrite=True)
    (tmp_path / "d.safetensors").mkdir()
    refused(model / ONE, tmp_path / "d.safetensors", "is a directory", overwrite=True)


def test_a_file_that_exists(model, tmp_path):
    path = tmp_path / "x.safetensors"
    path.symlink_to(tmp_path / "nowhere")
    refused(model / ONE, path, "x.safetensors exists: choose another name, or overwrite it (--")
    assert checkpoint_target(read_checkpoint(model / ONE), path, overwrite=True).tag == path.name


@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + ".safetensors"])
def test_a_name_that_the_system_does_not_take(model, tmp_path, name):
    source = read_checkpoint(model)
    if name.endswith(".safetensors"):
        source = read_checkpoint(next(model.glob("*.safetensors")))
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        checkpoint_target(source, tmp_path / name, overwrite=False)
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        file_target(tmp_path / ("b" * 300 + ".safetensors"), overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [model.name]
