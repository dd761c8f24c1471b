"""A file of the first format is read as it was written."""

import numpy as np

from amssim.checkpoint import open_checkpoint, quantize_checkpoint, verify_checkpoint
from checkpoint import independent_reader
from checkpoint.golden_files import make


def test_57_it_is_read_as_an_independent_reader_reads_it(tmp_path):
    expected = independent_reader.read(make.HERE)
    found = open_checkpoint(make.FORMAT_1)
    assert found.keys() == expected.keys() and len(found) == 4
    for name, array in expected.items():
        tensor = found[name]
        if isinstance(tensor, np.ndarray):
            assert tensor.tobytes() == array.tobytes()
        else:
            assert np.array_equal(tensor.dequantize().reshape(array.shape), array)


def test_57_it_is_verified_against_its_source(tmp_path):
    src = make.source(tmp_path / "a.safetensors")
    assert verify_checkpoint(make.FORMAT_1, src).packed == 3
    quantize_checkpoint(src, tmp_path / "b.safetensors", **make.OPTIONS)
    again = open_checkpoint(tmp_path / "b.safetensors")
    assert again["experts.up_proj"] == open_checkpoint(make.FORMAT_1)["experts.up_proj"]
