"""Verification: no byte of a file is unguarded, and the source tells the error."""

import shutil

import numpy as np
import pytest

from amssim import (
    AmsError,
    FormatError,
    InputError,
    Metrics,
    MismatchError,
    UnsupportedError,
    quantize,
    reference,
)
from amssim.checkpoint import open_checkpoint, quantize_checkpoint, save_packed, verify_checkpoint
from amssim.checkpoint.jobs import pieces
from checkpoint.builders import make_model, model_tensors, split, weights, write_tensors
from checkpoint.forging import rewrite

NAME = "x.weight"
MATRIX = weights(3, 70)


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


@pytest.fixture
def small(tmp_path):
    """A source file and its quantised twin."""
    src = write_tensors(tmp_path / "a.safetensors", {NAME: MATRIX, "bias": weights(5)})
    quantize_checkpoint(src, tmp_path / "b.safetensors", "fp4.25")
    return src, tmp_path / "b.safetensors"


def test_50_what_was_written_is_accepted(model, tmp_path):
    quantize_checkpoint(model, tmp_path / "out")
    found = verify_checkpoint(tmp_path / "out")
    assert (found.tensors, found.packed, found.metrics) == (9, 3, {})
    assert found.nbytes == sum(p.stat().st_size for p in (tmp_path / "out").glob("*.safetensors"))
    assert found.as_dict()["error"] is None


@pytest.mark.parametrize("name", ["fp5.33", "ams-e3m3-k5"])
def test_50_with_the_source_the_error_is_that_of_the_specification(model, tmp_path, name):
    quantize_checkpoint(model, tmp_path / "out", name, scale="mse", search="majority")
    found = verify_checkpoint(tmp_path / "out", model)
    expected = {}
    for tensors in model_tensors().values():
        for tensor, array in tensors.items():
            if tensor in found.metrics:
                matrix = array.astype(np.float32).reshape(-1, array.shape[-1])
                packed = quantize(matrix, name, scale="mse", search="majority")
                restored = reference.dequantize(
                    packed.words, packed.scales, packed.scheme, matrix.shape[1]
                )
                expected[tensor] = Metrics.of(matrix, restored)
    assert len(expected) == 3
    for tensor, metrics in expected.items():
        assert found.metrics[tensor].count == metrics.count
        assert found.metrics[tensor].mse == pytest.approx(metrics.mse, rel=1e-12)
        assert found.metrics[tensor].max_error == metrics.max_error
    assert found.total.mse == pytest.approx(Metrics.total(expected).mse, rel=1e-12)
    assert found.as_dict()["error"]["count"] == found.total.count


def test_50_every_single_byte_is_guarded(small, tmp_path):
    _, path = small
    raw = path.read_bytes()
    changed = tmp_path / "c.safetensors"
    for position in range(len(raw)):
        flipped = bytearray(raw)
        flipped[position] ^= 1 << (position % 8)
        changed.write_bytes(flipped)
        with pytest.raises(AmsError) as found:
            verify_checkpoint(changed)
        assert "\n" not in str(found.value)


def test_50_which_tensor_is_damaged(small):
    _, path = small
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(MismatchError, match=r"tensor '.*' is damaged: its checksum is \w{8}, exp"):
        verify_checkpoint(path)


def test_3_a_file_that_is_cut_off(small):
    _, path = small
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FormatError, match="is cut off"):
        verify_checkpoint(path)


def forge_words(path, change):
    header, data = split(path)
    first, last = header[f"{NAME}_packed"]["data_offsets"]
    words = np.frombuffer(data[first:last], np.uint16).reshape(3, -1).copy()
    change(words)
    rewrite(path, data=data[:first] + words.tobytes() + data[last:])


def test_19_padding_bits_are_refused_here_and_ignored_by_decoders(small):
    _, path = small
    before = open_checkpoint(path)[NAME].dequantize()

    def change(words):
        words[1, 30] |= 1  # 70 weights take 17 half-words of the first block and 2 of the second

    forge_words(path, change)
    with pytest.raises(FormatError, match=r"packed tensor 'x\.weight' has padding bits set"):
        verify_checkpoint(path)
    assert np.array_equal(open_checkpoint(path)[NAME].dequantize(), before)


@pytest.mark.parametrize("block", [1, 1 << 24])
def test_bits_that_the_source_does_not_give(small, block, monkeypatch):
    src, path = small
    monkeypatch.setattr(pieces, "TASK_ELEMENTS", block)

    def change(words):
        words[2, 0] ^= 1

    forge_words(path, change)
    verify_checkpoint(path)
    with pytest.raises(MismatchError, match=r"the first difference is in row \[2\]"):
        verify_checkpoint(path, src)


def test_a_difference_in_experts_names_matrix_and_row(tmp_path):
    experts = weights(2, 3, 10)
    src = write_tensors(tmp_path / "a.safetensors", {"experts": experts})
    quantize_checkpoint(src, tmp_path / "b.safetensors")
    experts[1, 2, 0] = 9
    write_tensors(src, {"experts": experts})
    with pytest.raises(MismatchError, match=r"the first difference is in row \[1, 2\]"):
        verify_checkpoint(tmp_path / "b.safetensors", src)


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({NAME: MATRIX}, "only .* holds the tensor 'bias'"),
        ({NAME: MATRIX, "bias": weights(5), "y": MATRIX}, "only .* holds the tensor 'y'"),
        ({NAME: MATRIX, "bias": weights(5, seed=1)}, "'bias' was kept but differs"),
        ({NAME: MATRIX, "bias": weights(6)}, r"'bias' was made from BF16\[5\], but"),
        (
            {NAME: MATRIX.astype(np.float32), "bias": weights(5)},
            r"made from BF16\[3, 70\], but .* holds F32\[3, 70\]",
        ),
    ],
)
def test_another_source(small, tmp_path, tensors, sentence):
    other = write_tensors(tmp_path / "other.safetensors", tensors)
    with pytest.raises(MismatchError, match=sentence):
        verify_checkpoint(small[1], other)


def test_what_cannot_be_verified(small, tmp_path):
    src, path = small
    with pytest.raises(UnsupportedError, match="holds no tensors that amssim packed"):
        verify_checkpoint(src)
    save_packed(quantize(MATRIX), tmp_path / "c.safetensors", name=NAME)
    verify_checkpoint(tmp_path / "c.safetensors")
    write_tensors(src, {NAME: MATRIX})
    with pytest.raises(UnsupportedError, match="saved without its search and scale rules"):
        verify_checkpoint(tmp_path / "c.safetensors", src)
    with pytest.raises(InputError, match="threads must be"):
        verify_checkpoint(path, threads=0)


def test_a_shard_of_another_run(model, tmp_path):
    quantize_checkpoint(model, tmp_path / "one", "fp5.33")
    quantize_checkpoint(model, tmp_path / "two", "fp4.25")
    shard = "model-00001-of-00002.safetensors"
    shutil.copy(tmp_path / "two" / shard, tmp_path / "one" / shard)
    with pytest.raises(MismatchError, match="are sealed: copy it again"):
        verify_checkpoint(tmp_path / "one")


def test_progress_counts_every_weight(model, tmp_path):
    quantize_checkpoint(model, tmp_path / "out")
    seen = []
    verify_checkpoint(tmp_path / "out", progress=lambda *event: seen.append(event))
    assert len(seen) == 9 and seen[-1][0] == seen[-1][1]
