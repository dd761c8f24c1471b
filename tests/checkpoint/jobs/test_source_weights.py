"""Weights of a source: NaN, edges of the number range, odd widths and dtypes."""

import json

import numpy as np
import pytest

import amssim
from amssim import InputError, UnsupportedError, reference
from amssim.checkpoint import dequantize_checkpoint, open_checkpoint, quantize_checkpoint
from amssim.checkpoint.jobs import pieces
from checkpoint.builders import INDEX, entry, make_model, raw_file, split, weights, write_tensors


def bad(array, *values):
    changed = array.astype(np.float32)
    for position, value in values:
        changed[position] = value
    return changed.astype(array.dtype)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_22_23_nan_and_inf_name_tensor_count_and_place(tmp_path, value, dtype, monkeypatch):
    monkeypatch.setattr(pieces, "TASK_ELEMENTS", 30)
    matrix = bad(weights(9, 10, dtype=dtype), ((4, 7), value), ((8, 0), np.nan))
    src = write_tensors(tmp_path / "a.safetensors", {"x.weight": matrix})
    with pytest.raises(InputError) as found:
        quantize_checkpoint(src, tmp_path / "b.safetensors")
    sentence = "tensor 'x.weight' holds 2 NaN or Inf, the first at [4, 7]"
    assert sentence in str(found.value) and r"rule 'x\.weight=keep'" in str(found.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_22_a_tensor_with_nan_can_be_kept_and_a_place_in_experts_has_three_numbers(tmp_path):
    experts = bad(weights(3, 4, 10), ((2, 1, 5), np.inf))
    tensors = {"experts.w": experts, "x.weight": weights(4, 10)}
    src = write_tensors(tmp_path / "a.safetensors", tensors)
    with pytest.raises(InputError, match=r"the first at \[2, 1, 5\]"):
        quantize_checkpoint(src, tmp_path / "b.safetensors")
    quantize_checkpoint(src, tmp_path / "b.safetensors", rules=["experts.w=keep"])
    assert open_checkpoint(tmp_path / "b.safetensors")["experts.w"].tobytes() == experts.tobytes()


def edge_rows():
    largest, tiny = np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal
    rows = np.zeros((7, 65), np.float32)
    rows[1, 3] = largest
    rows[2] = tiny
    rows[3] = -0.0
    rows[4] = 0.1
    rows[5] = np.linspace(-1, 1, 65) * largest
    rows[6, 64] = 1e-30
    return rows


def test_24_to_28_edges_of_the_number_range(tmp_path):
    src = write_tensors(tmp_path / "a.safetensors", {"x.weight": edge_rows()})
    quantize_checkpoint(src, tmp_path / "b.safetensors", "fp4.25")
    packed = open_checkpoint(tmp_path / "b.safetensors")["x.weight"]
    words, scales = reference.quantize(edge_rows(), amssim.scheme("fp4.25"))
    assert np.array_equal(packed.words, words) and np.array_equal(packed.scales, scales)
    assert packed.scales[0] == packed.scales[3] == 1 and not packed.dequantize()[[0, 3]].any()
    assert (packed.scales >= np.finfo(np.float32).smallest_normal).all()


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 63, 64, 65])
def test_28_widths_around_groups_and_blocks(tmp_path, columns):
    matrix = weights(2, columns, dtype="float32")
    src = write_tensors(tmp_path / "a.safetensors", {"x.weight": matrix})
    quantize_checkpoint(src, tmp_path / "b.safetensors", "fp4.25")
    words, _ = reference.quantize(matrix, amssim.scheme("fp4.25"))
    packed = open_checkpoint(tmp_path / "b.safetensors")["x.weight"]
    assert packed.shape == (2, columns) and np.array_equal(packed.words, words)


def test_11_13_odd_tensors_are_kept_byte_for_byte(tmp_path):
    src = write_tensors(tmp_path / "a.safetensors", {"x.weight": weights(4, 10)})
    header, data = split(src)
    end = len(data)
    header |= {
        "empty": entry("F32", [0, 3], end, end),
        "scalar": entry("F64", [], end, end + 8),
        "complex": entry("C64", [1], end + 8, end + 16),
    }
    src.write_bytes(raw_file(header, data + bytes(range(16))))
    quantize_checkpoint(src, tmp_path / "b.safetensors")
    found = open_checkpoint(tmp_path / "b.safetensors")
    assert found["empty"].shape == (0, 3) and found["scalar"].tobytes() == bytes(range(8))
    assert found["complex"].tobytes() == bytes(range(8, 16))


def test_13_a_dtype_that_nobody_knows(tmp_path):
    folder = make_model(tmp_path / "model")
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"]["odd.weight"] = "odd.safetensors"
    (folder / INDEX).write_text(json.dumps(index))
    odd = raw_file({"odd.weight": entry("Q9", [2, 2], 0, 3)}, b"xyz")
    (folder / "odd.safetensors").write_bytes(odd)
    quantize_checkpoint(folder, tmp_path / "out")
    assert (tmp_path / "out" / "odd.safetensors").read_bytes().endswith(b"xyz")
    with pytest.raises(UnsupportedError, match=r"'odd\.weight' is Q9, which no array holds"):
        _ = open_checkpoint(tmp_path / "out")["odd.weight"]


def test_weights_beyond_float16(tmp_path):
    src = write_tensors(tmp_path / "a.safetensors", {"x.weight": weights(2, 4) * 1e6})
    quantize_checkpoint(src, tmp_path / "b.safetensors")
    with pytest.raises(InputError, match=r"'x\.weight' exceeds the range of float16"):
        dequantize_checkpoint(tmp_path / "b.safetensors", tmp_path / "c.safetensors", "float16")
    assert not (tmp_path / "c.safetensors").exists()
