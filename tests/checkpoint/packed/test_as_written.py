"""Bits that are decoded but that quantising never writes: verify refuses them."""

import json

import numpy as np
import pytest

from amssim import FormatError, PackedTensor, quantize, schemes
from amssim.checkpoint import load_packed, save_packed, verify_checkpoint
from amssim.tensor.quantize import pack, unpack
from checkpoint.builders import raw_file, split, weights
from checkpoint.forging import rewrite

MATRIX = weights(3, 70, dtype="float32")


def saved(packed, folder, name="w"):
    save_packed(packed, folder / "x.safetensors", name=name)
    return folder / "x.safetensors"


@pytest.mark.parametrize("form", schemes(), ids=str)
def test_negative_zero(tmp_path, form):
    packed = quantize(MATRIX, form)
    assert verify_checkpoint(saved(packed, tmp_path)).packed == 1
    codes = unpack(packed.words, form, 70)
    codes[1, : form.k] = 1 << (form.minifloat.bits - 1)
    forged = PackedTensor(form, (3, 70), pack(codes, form), packed.scales)
    assert np.signbit(forged.dequantize()[1, : form.k]).all()
    save_packed(forged, tmp_path / "y.safetensors")
    with pytest.raises(FormatError, match="packed tensor 'weight' holds negative zero"):
        verify_checkpoint(tmp_path / "y.safetensors")
    assert load_packed(tmp_path / "y.safetensors") == forged


@pytest.mark.parametrize(("scale", "fine"), [(1e-40, False), (2**-126, True), (1e-38, False)])
def test_scales_below_the_smallest_normal_one(tmp_path, scale, fine):
    packed = quantize(MATRIX, "fp4.25", scale_block=32)
    scales = packed.scales.copy()
    scales[2, 1] = scale
    path = saved(PackedTensor("fp4.25", (3, 70), packed.words, scales, 32), tmp_path)
    if fine:
        verify_checkpoint(path)
    else:
        with pytest.raises(FormatError, match=r"'w' has the scale .*e-\d+, expected at least 1.17"):
            verify_checkpoint(path)


def test_padding_bits(tmp_path):
    path = saved(quantize(MATRIX, "fp5.33"), tmp_path)
    header, data = split(path)
    _, last = header["w_packed"]["data_offsets"]
    rewrite(path, data=data[: last - 1] + bytes([data[last - 1] | 0x40]) + data[last:])
    with pytest.raises(FormatError, match="packed tensor 'w' has padding bits set"):
        verify_checkpoint(path)
    load_packed(path)


FORMS = [("\\\\u00e9", "\\\\u00E9"), ("\\u00e9", "\\u00E9"), (":", ": "), ("{", "{\t"), ("}", "} ")]


@pytest.mark.parametrize(("old", "new"), FORMS)
def test_a_header_in_another_form(tmp_path, old, new):
    path = saved(quantize(weights(1, 70)), tmp_path, name="\u00e9")
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    text = raw[8 : 8 + length].decode()
    assert old in text
    text = text.replace(old, new, 1)
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + raw[8 + length :])
    load_packed(path)
    with pytest.raises(FormatError, match="the header is not written as amssim writes it"):
        verify_checkpoint(path)


def test_a_manifest_in_another_form(tmp_path):
    path = saved(quantize(weights(1, 70)), tmp_path)
    header, data = split(path)
    text = json.dumps(json.loads(header["__metadata__"]["amssim"]), separators=(",", ": "))
    header["__metadata__"]["amssim"] = text
    path.write_bytes(raw_file(header, data))
    load_packed(path)
    with pytest.raises(FormatError, match="the header is not written as amssim writes it"):
        verify_checkpoint(path)
