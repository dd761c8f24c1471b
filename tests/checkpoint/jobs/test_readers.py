"""Many files are read through few open ones, and none is opened for every part of it."""

from pathlib import Path

import pytest

from amssim import MismatchError
from amssim.checkpoint import quantize_checkpoint, verify_checkpoint
from amssim.checkpoint.jobs import pieces, readers
from amssim.checkpoint.safetensors.header import read_header
from checkpoint.builders import make_model, weights, write_tensors


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_verifying_opens_each_file_once(tmp_path, monkeypatch):
    model = make_model(tmp_path / "model")
    quantize_checkpoint(model, tmp_path / "out")
    opened, reader = [], readers.TensorReader

    def counted(header):
        opened.append(header.path)
        return reader(header)

    monkeypatch.setattr(readers, "TensorReader", counted)
    monkeypatch.setattr(pieces, "TASK_ELEMENTS", 50)
    monkeypatch.setattr(pieces, "TASK_BYTES", 50)
    before = open_files()
    verify_checkpoint(tmp_path / "out", model)
    assert len(opened) == len(set(opened)) == 4
    assert open_files() == before


def test_few_files_are_open_at_a_time(tmp_path):
    paths = [tmp_path / f"{i}.safetensors" for i in range(100)]
    headers = [read_header(write_tensors(path, {"x": weights(3)})) for path in paths]
    before, lent = open_files(), readers.Readers()
    for header in headers:
        with lent.reader(header) as one, lent.reader(header) as same:
            assert one is same and len(one.whole("x")) == 3
            assert open_files() <= before + 17
    lent.close()
    assert open_files() == before
    write_tensors(paths[0], {"y": weights(3)})
    with pytest.raises(MismatchError, match="changed"), lent.reader(headers[0]):
        pass
