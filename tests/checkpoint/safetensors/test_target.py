"""Where output may go, and what is refused before any work."""

import os

import pytest

from amssim import OutputError
from amssim.checkpoint.safetensors.shards import read_checkpoint
from amssim.checkpoint.safetensors.target import checkpoint_target, file_target, source_files
from checkpoint.builders import contents, make_model

ONE = "model-00001-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


def place(source, dst, overwrite=False, names=None):
    checkpoint = read_checkpoint(source)
    names = names or [path.name for path in source_files(checkpoint)]
    return checkpoint_target(checkpoint, dst, names, overwrite=overwrite)


def refused(source, dst, sentence, overwrite=False, names=None):
    with pytest.raises(OutputError) as found:
        place(source, dst, overwrite, names)
    assert sentence in str(found.value)


def test_36_the_source_itself(model, tmp_path):
    (tmp_path / "link").symlink_to(model)
    for dst in (model, tmp_path / "link", model / ".." / "model"):
        refused(model, dst, "is the source itself", overwrite=True)
    refused(model / ONE, model / ONE, "is the source itself", overwrite=True)


def test_36_inside_the_source(model, tmp_path):
    (tmp_path / "link").symlink_to(model)
    (model / "sub").mkdir()
    (tmp_path / "sub").symlink_to(model / "sub")
    for dst in (model / "out", tmp_path / "link" / "a" / "b", tmp_path / "sub" / "out"):
        refused(model, dst, "lies inside the source", overwrite=True)


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("backwards", [False, True])
def test_36_files_of_the_source_under_other_names(model, tmp_path, link, backwards):
    """Links from source to output, from output to source, and hard links either way."""
    other = tmp_path / "other"
    other.mkdir()
    for name in contents(model):
        link(model / name, other / name)
    before = contents(model)
    source, dst = (model, other) if backwards else (other, model)
    refused(source, dst, "of the source are one file", overwrite=True)
    assert contents(model) == contents(other) == before


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_36_a_single_file_of_two_names(model, tmp_path, link):
    link(model / ONE, tmp_path / "other.safetensors")
    refused(model / ONE, tmp_path / "other.safetensors", "is the source itself", overwrite=True)


def test_36_a_source_in_the_folder_for_unfinished_files(model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    inside = make_model(out / ".amssim-partial")
    before = contents(inside)
    refused(inside, out, "lies inside", overwrite=True)
    beside = place(model, tmp_path / "new").beside
    moved = (tmp_path / "model").rename(tmp_path / beside)
    refused(moved, tmp_path / "new", "which is for unfinished files", overwrite=True)
    links = tmp_path / "links"
    links.mkdir()
    for name in before:
        (links / name).symlink_to(inside / name)
    refused(links, out, "which is for unfinished files", overwrite=True)
    assert contents(inside) == before


def test_37_an_output_that_is_not_empty(model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert place(model, out).home == out
    (out / "notes.txt").write_text("mine")
    refused(model, out, "is not empty: choose another directory, or --overwrite (it holds notes")
    assert place(model, out, overwrite=True).home == out


@pytest.mark.parametrize(
    "name",
    [
        "model-00003-of-00003.safetensors",
        INDEX,
        "other.safetensors.index.json",
        "config.json",
        "amssim.seal.json",
    ],
)
def test_37_what_would_be_taken_for_a_part_of_the_result(model, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("other")
    names = set(contents(model)) - {name}
    refused(model, out, f"holds {name}, which would not be replaced", overwrite=True, names=names)
    place(model, out, overwrite=True, names=names | {name})


def test_a_directory_under_the_name_of_a_file(model, tmp_path):
    (tmp_path / "out" / ONE).mkdir(parents=True)
    refused(model, tmp_path / "out", f"{ONE} is a directory", overwrite=True)


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
    target = place(model / ONE, path, overwrite=True)
    assert target.names == (path.name,) and target.name_of(ONE) == path.name


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a\0.safetensors"])
def test_a_name_that_no_system_takes(model, tmp_path, name):
    source = model / ONE if name.endswith("s") else model
    refused(source, tmp_path / name, "is not a name that the system takes")


@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + ".safetensors"])
def test_a_name_that_the_system_does_not_take(model, tmp_path, name):
    source = model / ONE if name.endswith(".safetensors") else model
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        place(source, tmp_path / name)
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        file_target(tmp_path / ("b" * 300 + ".safetensors"), overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [model.name]


def test_left_by_an_earlier_version(model, tmp_path):
    (tmp_path / ".x.safetensors.amssim-partial").mkdir()
    refused(model / ONE, tmp_path / "x.safetensors", "left by a run of an earlier version")
