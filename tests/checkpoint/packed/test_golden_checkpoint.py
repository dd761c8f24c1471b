"""Files of every format are read as they were written, and the newest is still written the same."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest

from amssim.checkpoint import (
    inspect_checkpoint,
    open_checkpoint,
    quantize_checkpoint,
    seal_checkpoint,
    verify_checkpoint,
)
from amssim.checkpoint.jobs import job
from amssim.checkpoint.packed import config_keys, manifest, seal
from checkpoint import independent_reader, independent_verifier
from checkpoint.builders import contents
from checkpoint.golden_files import make
from checkpoint.sealed_sets import sealed_set

FILES = [make.FORMAT_1, make.FORMAT_2, make.FORMAT_2_SET]


def without_run(folder):
    """All files of a set, apart from its options, of which later versions have more."""
    files = contents(folder)
    seal = json.loads(files["amssim.seal.json"])
    for text in (seal["run"], hashlib.sha256(files["amssim.seal.json"]).hexdigest()):
        files = {name: raw.replace(text.encode(), b"") for name, raw in files.items()}
    for name, raw in files.items():
        if name.endswith(".safetensors"):
            files[name] = re.sub(rb"header_crc32[^0-9a-f]+[0-9a-f]{8}", b"", raw)
    return files | {"amssim.seal.json": (seal["files"], seal["source"], seal["version"])}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_57_they_are_read_as_an_independent_reader_reads_them(path):
    expected = independent_reader.read(path if path.is_dir() else path.parent)
    found = open_checkpoint(path)
    assert found.keys() == expected.keys() and len(found) == 4
    for name, array in expected.items():
        tensor = found[name]
        if isinstance(tensor, np.ndarray):
            assert tensor.tobytes() == array.tobytes()
        else:
            assert np.array_equal(tensor.dequantize().reshape(array.shape), array)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_57_they_are_verified(tmp_path, path):
    src = make.source(tmp_path / "a.safetensors")
    found = verify_checkpoint(path, src)
    assert found.packed == 3 and found.coverage.sealed == path.is_dir()
    assert found.coverage.uncovered == () and inspect_checkpoint(path).remarks == ()


def test_57_the_newest_format_is_written_the_same(tmp_path, monkeypatch):
    for module in (config_keys, job, manifest, seal):
        monkeypatch.setattr(module, "__version__", "0.1.0")
    src = make.source(tmp_path / "a.safetensors")
    quantize_checkpoint(src, tmp_path / "b.safetensors", **make.OPTIONS)
    assert (tmp_path / "b.safetensors").read_bytes() == make.FORMAT_2.read_bytes()
    quantize_checkpoint(make.source_set(tmp_path / "src"), tmp_path / "set", **make.OPTIONS)
    assert without_run(tmp_path / "set") == without_run(make.FORMAT_2_SET)


def test_a_verifier_written_from_the_page_alone_agrees(tmp_path):
    independent_verifier.verify(make.FORMAT_2_SET)
    folder = sealed_set(tmp_path / "set")
    independent_verifier.verify(folder)
    for path in sorted(folder.iterdir()):
        raw = path.read_bytes()
        for position in range(0, len(raw), 5):
            flipped = bytearray(raw)
            flipped[position] ^= 1 << (position % 8)
            path.write_bytes(flipped)
            with pytest.raises((ValueError, KeyError, TypeError, OSError)):
                independent_verifier.verify(folder)
        path.write_bytes(raw)


def test_a_directory_of_format_1_can_be_sealed(tmp_path):
    shutil.copy(make.FORMAT_1, tmp_path / "model.safetensors")
    before = open_checkpoint(make.FORMAT_1)
    assert seal_checkpoint(tmp_path).rewritten == ("amssim.seal.json", "model.safetensors")
    independent_verifier.verify(tmp_path)
    after = open_checkpoint(tmp_path)
    assert after["experts.up_proj"] == before["experts.up_proj"]
