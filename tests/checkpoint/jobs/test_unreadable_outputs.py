"""What nobody could read is refused before any work: names, headers, index, config.json."""

import json

import pytest

from amssim import AmsError, UnsupportedError
from amssim.checkpoint import plan_quantize, quantize_checkpoint, verify_checkpoint
from amssim.checkpoint.safetensors import limits
from checkpoint.builders import INDEX, make_model, weights, write_tensors


def test_a_name_that_grows_too_long(tmp_path):
    name = "w" * 4089 + ".weight"
    src = write_tensors(tmp_path / "a.safetensors", {name: weights(4, 10)})
    with pytest.raises(UnsupportedError, match="would have 4102 bytes, at most 4096 are read"):
        plan_quantize(src)
    kept = write_tensors(tmp_path / "b.safetensors", {name: weights(4), "x.weight": weights(4, 10)})
    quantize_checkpoint(kept, tmp_path / "c.safetensors")


def test_a_header_that_grows_too_long(tmp_path, monkeypatch):
    src = write_tensors(tmp_path / "a.safetensors", {"x.weight": weights(4, 10)})
    monkeypatch.setattr(limits, "MAX_JSON_BYTES", 400)
    with pytest.raises(UnsupportedError, match="at most 400 are read"):
        quantize_checkpoint(src, tmp_path / "b.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (INDEX, '"metadata": {"total_size": 1e999'),
        ("config.json", '"architectures": ["\\ud800"]'),
        ("config.json", '"size": 1e999'),
    ],
)
def test_numbers_and_text_that_json_does_not_have(tmp_path, name, text):
    model = make_model(tmp_path / "model")
    if name == INDEX:
        whole = (model / INDEX).read_text()
        changed = whole.replace('"metadata": {', text + ", ", 1).replace(
            '"total_size": 9', '"b": 9'
        )
    else:
        changed = json.dumps({"model_type": "llama"})[:-1] + ", " + text + "}"
    (model / name).write_text(changed)
    try:
        quantize_checkpoint(model, tmp_path / "out")
    except AmsError as error:
        assert name in str(error) and not (tmp_path / "out").exists()
    else:
        verify_checkpoint(tmp_path / "out")
