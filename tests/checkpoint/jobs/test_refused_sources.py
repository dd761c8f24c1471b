"""Sources and options that are refused before anything is written."""

import numpy as np
import pytest

from amssim import InputError, SchemeError, UnsupportedError
from amssim.checkpoint import dequantize_checkpoint, plan_quantize, quantize_checkpoint
from checkpoint.builders import make_model, weights, write_tensors


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("sign", "sentence"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "quant_method 'gptq' in config.json"),
        ({"compression_config": {"quant_method": "x"}}, "quant_method 'x' in config.json"),
        (
            {"text_config": {"quantization_config": {"quant_method": "fp8"}}},
            "quant_method 'fp8' in config.json",
        ),
        ("layers.0.q_proj.qweight", "tensor 'layers.0.q_proj.qweight'"),
        ("layers.0.q_proj.weight_scale_inv", "tensor 'layers.0.q_proj.weight_scale_inv'"),
        ("layers.0.q_proj.weight.absmax", "tensor 'layers.0.q_proj.weight.absmax'"),
        ("fp8", "tensor 'y.weight' is F8_E4M3"),
        ("ams", "was written by amssim"),
    ],
)
def test_32_what_is_quantised_already(tmp_path, sign, sentence):
    src = tmp_path / "model"
    if sign == "ams":
        quantize_checkpoint(make_model(tmp_path / "plain", config={}), src)
        (src / "config.json").unlink()
    elif isinstance(sign, dict):
        make_model(src, config=sign)
    else:
        name = "y.weight" if sign == "fp8" else sign
        make_model(src, {"a.safetensors": {"x.weight": weights(4, 10), name: np.zeros(2, "u1")}})
        if sign == "fp8":
            raw = (src / "a.safetensors").read_bytes().replace(b'"U8"', b'"F8_E4M3"')
            length = int.from_bytes(raw[:8], "little") + 5
            (src / "a.safetensors").write_bytes(length.to_bytes(8, "little") + raw[8:])
    with pytest.raises(UnsupportedError) as found:
        quantize_checkpoint(src, tmp_path / "out")
    assert "is quantised already (" in str(found.value) and sentence in str(found.value)
    assert not (tmp_path / "out").exists()


def test_two_tensors_that_would_be_stored_under_one_name(tmp_path):
    tensors = {"experts.w": weights(2, 3, 4), "experts.w_scale": weights(3)}
    src = write_tensors(tmp_path / "a.safetensors", tensors)
    with pytest.raises(UnsupportedError, match=r"would be stored as 'experts\.w_scale'"):
        quantize_checkpoint(src, tmp_path / "b.safetensors")


def test_nothing_to_quantise(tmp_path):
    src = write_tensors(tmp_path / "a.safetensors", {"lm_head.weight": weights(4, 4)})
    with pytest.raises(InputError, match=r"nothing of .* would be quantised \(output head\)"):
        plan_quantize(src)
    with pytest.raises(InputError, match="it has no tensors"):
        plan_quantize(write_tensors(tmp_path / "b.safetensors", {}))
    with pytest.raises(UnsupportedError, match="nothing to dequantise"):
        dequantize_checkpoint(src, tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"scheme": "fp9"}, SchemeError, "9 bits: choose one of"),
        ({"search": "best"}, SchemeError, "unknown search rule 'best'"),
        ({"scale": "max"}, SchemeError, "unknown scale rule 'max'"),
        ({"scale_block": 0}, InputError, "scale_block must be"),
        ({"threads": 0}, InputError, "threads must be"),
        ({"rules": ["zzz=keep"]}, InputError, "matches no tensor"),
    ],
)
def test_options_that_are_wrong(model, tmp_path, options, error, sentence):
    with pytest.raises(error, match=sentence):
        quantize_checkpoint(model, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_dtype_that_is_wrong(model, tmp_path):
    with pytest.raises(SchemeError, match="unknown dtype 'int8': choose one of bfloat16"):
        dequantize_checkpoint(model, tmp_path / "out", "int8")
