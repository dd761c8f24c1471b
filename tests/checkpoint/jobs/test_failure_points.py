"""A job that fails at any call to the system leaves nothing that a reader takes for the result."""

import errno
import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from amssim import MismatchError, OutputError, ResourceError
from amssim.checkpoint import quantize_checkpoint, save_packed
from amssim.checkpoint.safetensors.half_published import JOURNAL, check_not_half_published
from checkpoint.builders import contents, make_model, weights, write_tensors
from checkpoint.forging import packed_of

CALLS = ("pwrite", "fsync", "rename", "unlink", "rmdir")


class FailingCall:
    """Stands for a function of `os`: the call number ``at`` raises, others are passed on."""

    def __init__(self, name: str, at: int, number: int = errno.EIO):
        self.call, self.at, self.number, self.count = getattr(os, name), at, number, 0

    def __call__(self, *arguments, **options):
        numba = any(isinstance(a, str) and "numba" in a for a in map(str, arguments))
        self.count += not numba
        if self.count == self.at and not numba:
            self.at = 0
            raise OSError(self.number, os.strerror(self.number))
        return self.call(*arguments, **options)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("source") / "model")


@pytest.fixture(scope="module")
def expected(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("expected") / "out"
    quantize_checkpoint(model, out)
    return contents(out)


def calls_of(name: str, work, monkeypatch) -> int:
    """How often ``work`` calls a function of `os`."""
    counter = FailingCall(name, 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, name, counter)
        work()
    return counter.count


def fails_or_is_done(name: str, at: int, work, monkeypatch, number: int = errno.EIO) -> bool:
    """Whether ``work`` fails with a sentence when call ``at`` does; tidying up may fail unseen."""
    with monkeypatch.context() as patch:
        patch.setattr(os, name, FailingCall(name, at, number))
        try:
            work()
        except (OutputError, ResourceError) as error:
            assert "cannot be written" in str(error)
            return True
    return False


@pytest.mark.parametrize("name", CALLS)
def test_a_new_directory_is_complete_or_not_there(model, expected, tmp_path, monkeypatch, name):
    total = calls_of(name, lambda: quantize_checkpoint(model, tmp_path / "count"), monkeypatch)
    for at in range(1, total + 1):
        out = tmp_path / f"out{at}"
        failed = fails_or_is_done(
            name, at, lambda o=out: quantize_checkpoint(model, o), monkeypatch
        )
        assert failed or contents(out) == expected
        assert not out.exists() or contents(out) == expected
        quantize_checkpoint(model, out, overwrite=True)
        assert contents(out) == expected
    assert {p.name for p in tmp_path.iterdir()} == {f"out{n}" for n in range(1, total + 1)} | {
        "count"
    }


@pytest.mark.parametrize("name", ["fsync", "rename", "link", "rmdir"])
def test_a_directory_that_is_there_stays_as_it_was_or_becomes_new(
    model, expected, tmp_path, monkeypatch, name
):
    old = tmp_path / "old"
    quantize_checkpoint(model, old, "fp4.25")
    before = contents(old)
    counted = tmp_path / "count"
    shutil.copytree(old, counted)
    total = calls_of(name, lambda: quantize_checkpoint(model, counted, overwrite=True), monkeypatch)
    for at in range(1, total + 1):
        out = tmp_path / f"out{at}"
        shutil.copytree(old, out)
        (out / "notes.txt").write_text("mine")
        work = partial(quantize_checkpoint, model, out, overwrite=True)
        fails_or_is_done(name, at, work, monkeypatch)
        left = {n: raw for n, raw in plain_files(out).items() if n != "notes.txt"}
        half = left.pop(JOURNAL, None)
        assert half or left in (before, expected)
        if half:
            with pytest.raises(MismatchError, match="half published"):
                check_not_half_published(out)
        quantize_checkpoint(model, out, overwrite=True)
        assert contents(out) == expected | {"notes.txt": b"mine"}


def plain_files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize("name", CALLS)
def test_a_single_file_appears_whole_or_not_at_all(tmp_path, monkeypatch, name):
    src = write_tensors(tmp_path / "a.safetensors", {"x.weight": weights(4, 10)})
    out = tmp_path / "new" / "b.safetensors"
    total = calls_of(
        name, lambda: quantize_checkpoint(src, tmp_path / "c.safetensors"), monkeypatch
    )
    whole = (tmp_path / "c.safetensors").read_bytes()
    for at in range(1, total + 1):
        fails_or_is_done(name, at, lambda: quantize_checkpoint(src, out), monkeypatch)
        if out.exists():  # the file was on the disk, its name in the directory was not
            assert out.read_bytes() == whole
            out.unlink()
            quantize_checkpoint(src, out)
            assert contents(out.parent) == {out.name: whole}
            out.unlink()
            out.parent.rmdir()


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, ResourceError), (errno.EDQUOT, ResourceError), (errno.EIO, OutputError)],
)
def test_a_saved_tensor_replaces_the_old_one_or_leaves_it(tmp_path, monkeypatch, number, kind):
    path = tmp_path / "x.safetensors"
    save_packed(packed_of(), path)
    before = contents(tmp_path)
    for name in ("pwrite", "fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, FailingCall(name, 1, number))
            with pytest.raises(kind) as refused:
                save_packed(packed_of(seed=1), path, overwrite=True)
        assert str(refused.value).startswith(f"{path} cannot be written: {os.strerror(number)}")
        assert contents(tmp_path) == before


def test_a_directory_that_cannot_be_made(model, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written: File exists"):
        quantize_checkpoint(model, tmp_path / "file" / "out")
    assert [p.name for p in Path(tmp_path).iterdir()] == ["file"]
