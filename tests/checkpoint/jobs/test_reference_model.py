"""The whole way on a real sharded BF16 checkpoint."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from amssim.checkpoint import (
    dequantize_checkpoint,
    open_checkpoint,
    quantize_checkpoint,
    verify_checkpoint,
)


@pytest.mark.parametrize(("scheme", "least_db"), [("fp5.33", 26), ("fp4.25", 19)])
def test_quantize_verify_dequantize_load(reference_model, tmp_path, scheme, least_db):
    plan = quantize_checkpoint(reference_model, tmp_path / "packed", scheme)
    assert float(plan.summary.coverage) > 0.9
    found = verify_checkpoint(tmp_path / "packed", reference_model)
    assert found.packed == 56 and found.total.sqnr_db > least_db
    dequantize_checkpoint(tmp_path / "packed", tmp_path / "plain")
    packed = open_checkpoint(tmp_path / "packed")
    originals, restored = {}, {}
    for shard in reference_model.glob("*.safetensors"):
        originals |= load_file(shard)
        restored |= load_file(tmp_path / "plain" / shard.name)
    assert {n: (a.shape, a.dtype) for n, a in originals.items()} == {
        n: (a.shape, a.dtype) for n, a in restored.items()
    }
    for name, array in restored.items():
        expected = packed[name]
        if not isinstance(expected, np.ndarray):
            expected = expected.dequantize("bfloat16")
        assert array.tobytes() == expected.tobytes(), name
    config = (tmp_path / "plain" / "config.json").read_text()
    assert json.loads(config) == json.loads((reference_model / "config.json").read_text())
