"""Halves of checkpoints: missing files, links that lead nowhere or are not to be followed."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from amssim import FormatError, InputError, UnsafePathError
from amssim.checkpoint.safetensors.numbering import gaps, numbered
from amssim.checkpoint.safetensors.shards import read_checkpoint
from checkpoint.builders import (
    INDEX,
    entry,
    make_model,
    model_tensors,
    raw_file,
    weights,
    write_tensors,
)

ONE, TWO = model_tensors()


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


def dangle(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(Path("..", "blobs", "7f"))


def refused(path, kind, sentence, **options) -> None:
    with pytest.raises(kind) as found:
        read_checkpoint(path, **options)
    assert sentence in str(found.value) and "\n" not in str(found.value)


# --- shards that say how many there are ---------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "model-00001-of-00004",
        "model-00004-of-00004",
        "model-00001-of-000163",
        "pytorch_model-1-of-2",
        "-00001-of-00002",
    ],
)
def test_35_a_lone_shard_of_several_without_its_index(tmp_path, name):
    write_tensors(tmp_path / f"{name}.safetensors", {"a": weights(2)})
    refused(tmp_path, FormatError, f"{name}.safetensors, file {int(name.split('-')[1] or 1)} of ")
    refused(tmp_path, FormatError, f"neither the others nor {INDEX}: fetch or copy all of it")


@pytest.mark.parametrize(
    "name", ["model", "model-00001-of-00001", "model-of-4", "a-b-of-c", "model-1-of-2x"]
)
def test_a_lone_file_that_is_all_there_is(tmp_path, name):
    write_tensors(tmp_path / f"{name}.safetensors", {"a": weights(2)})
    assert read_checkpoint(tmp_path).remarks == ()


def test_34_an_index_that_is_a_link_to_nothing(model):
    for left in ((ONE, TWO), (ONE,)):
        for name in {ONE, TWO} - set(left):
            (model / name).unlink()
        dangle(model / INDEX)
        refused(model, InputError, f"{INDEX} is a link to ../blobs/7f, which does not exist")


def test_35_an_index_that_names_some_of_the_numbered_files(model):
    index = json.loads((model / INDEX).read_text())
    for at, name in enumerate((ONE, TWO)):
        renamed = f"model-0000{at + 1}-of-00004.safetensors"
        (model / name).rename(model / renamed)
        where = {t: renamed if s == name else s for t, s in index["weight_map"].items()}
        index["weight_map"] = where
    (model / INDEX).write_text(json.dumps(index))
    (remark,) = read_checkpoint(model).remarks
    assert remark == f"{model / INDEX} names only 2 of the 4 files model-*-of-4"


def test_a_shard_of_another_naming_is_a_remark_and_one_of_the_same_an_error(model):
    shard = (model / ONE).read_bytes()
    (model / "consolidated-00001-of-00002.safetensors").write_bytes(shard)
    (model / "._model-00001-of-00002.safetensors").write_bytes(b"\0\5\26\7")  # of another system
    (remark,) = read_checkpoint(model).remarks
    assert remark.startswith("consolidated-00001-of-00002.safetensors is not part of the")
    (model / "model-00001-of-00003.safetensors").write_bytes(shard)
    refused(model, FormatError, "model-00001-of-00003.safetensors is a shard that")


def test_one_shard_opened_alone_is_said(model):
    (remark,) = read_checkpoint(model / TWO).remarks
    assert remark == f"{TWO} is by its name file 2 of 2: the others are not looked at"


def test_numbers_in_names():
    assert numbered("a-00002-of-00003.safetensors") == ("a", 2, 3)
    assert numbered("a-2-of-3.safetensors.bak") is numbered("a.safetensors") is None
    names = [f"{stem}-{i}-of-3.safetensors" for stem in "ab" for i in (1, 2, 3)]
    assert gaps(names) == gaps(["model.safetensors"]) == []
    assert gaps(names[1:]) == ["2 of the 3 files a-*-of-3"]


# --- links ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [INDEX, "config.json", ONE])
def test_34_any_file_that_is_read_as_a_link_to_nothing(model, name):
    dangle(model / name)
    refused(model, InputError, f"{name} is a link to ../blobs/7f, which does not exist")


def test_34_a_file_to_be_copied_as_a_link_to_nothing(model):
    dangle(model / "tokenizer.json")
    with pytest.raises(InputError, match=r"tokenizer\.json is a link to .*does not exist"):
        read_checkpoint(model).other_files()


@pytest.fixture
def snapshot(model, tmp_path):
    """A directory whose files are links into a store, as a hub's cache keeps it."""
    folder, blobs = tmp_path / "snapshot", tmp_path / "blobs"
    folder.mkdir(), blobs.mkdir()
    for number, path in enumerate(sorted(model.iterdir())):
        path.rename(blobs / str(number))
        (folder / path.name).symlink_to(Path("..", "blobs", str(number)))
    return folder


def test_34_a_directory_of_links_is_read(snapshot):
    checkpoint = read_checkpoint(snapshot)
    assert len(checkpoint.items()) == 9 and checkpoint.config
    assert checkpoint.other_files() == (["tokenizer.json"], [])
    with checkpoint.open("tokenizer.json") as file:
        assert file.read(0, 2) == b"{}"


def test_34_links_are_refused_by_name_if_asked(model, snapshot):
    for name in (INDEX, ONE, "config.json", "tokenizer.json"):
        whole = snapshot.parent / f"whole-{name}"
        whole.mkdir()
        for link in snapshot.iterdir():
            if link.name == name:
                (whole / name).symlink_to(link.resolve())
            else:
                (whole / link.name).write_bytes(link.read_bytes())
        sentence = f"{name} is a symbolic link, and links are not to be followed"
        with pytest.raises(UnsafePathError, match=sentence):
            read_checkpoint(whole, follow_links=False).other_files()
        (whole / name).unlink()
        (whole / name).write_bytes((snapshot / name).read_bytes())
        assert read_checkpoint(whole, follow_links=False).other_files()[0] == ["tokenizer.json"]
    for path in (snapshot / ONE, snapshot.parent / "link"):
        (snapshot.parent / "link").unlink(missing_ok=True)
        (snapshot.parent / "link").symlink_to(whole)
        refused(path, UnsafePathError, "is a symbolic link", follow_links=False)


def test_34_what_is_copied_is_opened_without_links_too(model):
    checkpoint = read_checkpoint(model, follow_links=False)
    (model / "tokenizer.json").rename(model / "t")
    (model / "tokenizer.json").symlink_to("t")
    with pytest.raises(UnsafePathError, match="is a symbolic link"):
        checkpoint.open("tokenizer.json")


@pytest.mark.parametrize("name", [INDEX, "config.json", ONE, "tokenizer.json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda p: p.symlink_to("/dev/zero")])
def test_34_what_is_no_file_is_refused_or_left_out_at_once(model, name, make):
    (model / name).unlink()
    make(model / name)
    if name == "tokenizer.json":
        assert read_checkpoint(model).other_files() == ([], [name])
    else:
        refused(model, FormatError, f"{name} is not a regular file")


def test_names_that_the_system_does_not_take():
    for path in ("x" * 5000, "a\0b", "\ud800", "x" * 5000 + ".safetensors"):
        with pytest.raises(InputError, match=r"File name too long|is not a file name"):
            read_checkpoint(path)


# --- what the machine has too little of -----------------------------------------------------------


def in_a_process(code: str, *arguments) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


MEMORY = """
import resource, sys
from amssim import AmsError
from amssim.checkpoint.safetensors.header import read_header
from amssim.checkpoint.safetensors.reader import RowRange, TensorReader
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
def whole(path):
    with TensorReader(read_header(path)) as reader:
        return reader.whole("a")
def raw(path):
    with TensorReader(read_header(path)) as reader:
        return reader.raw("a")
def rows(path):
    with TensorReader(read_header(path)) as reader:
        return reader.rows("a", RowRange((), 0, 2))
for work in (whole, raw, rows):
    try:
        work(sys.argv[1])
    except AmsError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="needs a limit of memory")
def test_48_a_huge_file_with_little_memory(tmp_path):
    path, size = tmp_path / "huge.safetensors", 1 << 36
    raw = raw_file({"a": entry("U8", [2, size // 2], 0, size)})
    path.write_bytes(raw)
    os.truncate(path, len(raw) + size)
    sentence = f"ResourceError {path}: {size} bytes do not fit into memory"
    assert in_a_process(MEMORY, path, 1 << 34).splitlines() == [sentence] * 3
    os.truncate(path, len(raw) + size - 1)
    sentence = f"FormatError {path} is cut off: its tensors take {size} bytes, the file holds"
    assert all(line.startswith(sentence) for line in in_a_process(MEMORY, path, -1).splitlines())


DESCRIPTORS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from amssim.checkpoint.safetensors.reader import TensorReader
from amssim.checkpoint.safetensors.shards import read_checkpoint
checkpoint = read_checkpoint(sys.argv[1])
for header, info in checkpoint.items():
    with TensorReader(header) as reader:
        assert reader.whole(info.name).tobytes() == b"x"
print(len(checkpoint.shards))
"""


def test_more_shards_than_files_may_be_open(tmp_path):
    names = {f"a{i}": f"model-{i:05}-of-00099.safetensors" for i in range(1, 100)}
    for tensor, name in names.items():
        (tmp_path / name).write_bytes(raw_file({tensor: entry("U8", [], 0, 1)}, b"x"))
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": names}))
    assert in_a_process(DESCRIPTORS, tmp_path) == "99\n"
