"""A job that fails at any call to the system leaves nothing that a reader takes for the result."""

import errno
import os
from pathlib import Path

import pytest

from amssim import OutputError, ResourceError
from amssim.checkpoint import quantize_checkpoint, save_packed
from checkpoint.builders import INDEX, contents, make_model, weights, write_tensors
from checkpoint.forging import packed_of

CALLS = ("pwrite", "fsync", "replace")


class FailingCall:
    """Stands for a function of `os`: the call number ``at`` raises, others are passed on."""

    def __init__(self, name: str, at: int, number: int = errno.EIO):
        self.call, self.at, self.number, self.count = getattr(os, name), at, number, 0

    def __call__(self, *arguments):
        numba = any(isinstance(a, str) and "numba" in a for a in map(str, arguments))
        self.count += not numba
        if self.count == self.at and not numba:
            self.at = 0
            raise OSError(self.number, os.strerror(self.number))
        return self.call(*arguments)


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


def failing(name: str, at: int, work, monkeypatch, number: int = errno.EIO):
    with monkeypatch.context() as patch:
        patch.setattr(os, name, FailingCall(name, at, number))
        with pytest.raises((OutputError, ResourceError), match="cannot be written: "):
            work()


@pytest.mark.parametrize("name", CALLS)
def test_a_new_directory_is_complete_or_lacks_index_and_config(
    model, expected, tmp_path, monkeypatch, name
):
    total = calls_of(name, lambda: quantize_checkpoint(model, tmp_path / "count"), monkeypatch)
    assert total >= len(expected)
    for at in range(1, total + 1):
        out = tmp_path / f"out{at}"
        failing(name, at, lambda out=out: quantize_checkpoint(model, out), monkeypatch)
        left = contents(out) if out.exists() else {}
        assert left.items() <= expected.items()
        if left and left != expected:
            assert name != "pwrite" and not {INDEX, "config.json"} <= left.keys()
        quantize_checkpoint(model, out, overwrite=True)
        assert contents(out) == expected


@pytest.mark.parametrize("name", ["pwrite", "fsync"])
def test_what_was_there_stays_until_everything_new_is_on_the_disk(
    model, expected, tmp_path, monkeypatch, name
):
    out = tmp_path / "out"
    quantize_checkpoint(model, out, "fp4.25")
    before = contents(out)

    def again():
        quantize_checkpoint(model, out, overwrite=True)

    staged = {"pwrite": 10**6, "fsync": len(expected)}[name]
    counted = tmp_path / "count"
    total = calls_of(name, lambda: quantize_checkpoint(model, counted), monkeypatch)
    for at in range(1, min(staged, total) + 1):
        failing(name, at, again, monkeypatch)
        assert contents(out) == before
    again()
    assert contents(out) == expected


@pytest.mark.parametrize("name", CALLS)
def test_a_single_file_appears_whole_or_not_at_all(tmp_path, monkeypatch, name):
    src = write_tensors(tmp_path / "a.safetensors", {"x.weight": weights(4, 10)})
    out = tmp_path / "new" / "b.safetensors"
    total = calls_of(
        name, lambda: quantize_checkpoint(src, tmp_path / "c.safetensors"), monkeypatch
    )
    whole = (tmp_path / "c.safetensors").read_bytes()
    for at in range(1, total + 1):
        failing(name, at, lambda: quantize_checkpoint(src, out), monkeypatch)
        if out.exists():  # the file was on the disk, its name in the directory was not
            assert name == "fsync" and at > 1 and out.read_bytes() == whole
            out.unlink()
            out.parent.rmdir()
        else:
            assert not out.parent.exists()


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, ResourceError), (errno.EDQUOT, ResourceError), (errno.EIO, OutputError)],
)
def test_a_saved_tensor_replaces_the_old_one_or_leaves_it(tmp_path, monkeypatch, number, kind):
    path = tmp_path / "x.safetensors"
    save_packed(packed_of(), path)
    before = contents(tmp_path)
    for name in CALLS:
        with monkeypatch.context() as patch:
            patch.setattr(os, name, FailingCall(name, 1, number))
            with pytest.raises(kind) as refused:
                save_packed(packed_of(seed=1), path, overwrite=True)
        assert str(refused.value) == f"{path} cannot be written: {os.strerror(number)}"
        assert contents(tmp_path) == before


def test_a_directory_that_cannot_be_made(model, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        quantize_checkpoint(model, tmp_path / "file" / "out")
    assert [p.name for p in Path(tmp_path).iterdir()] == ["file"]
