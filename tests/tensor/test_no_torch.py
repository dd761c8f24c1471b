"""Taking tensors of PyTorch needs no PyTorch, and loads none."""

import sys
import types

import numpy as np
import pytest

import amssim
from amssim._tensors import is_tensor, is_tensor_dtype


@pytest.mark.parametrize("module", [None, types.ModuleType("torch")])
def test_arrays_are_taken_where_torch_is_not(monkeypatch, module):
    """It may be absent, half imported, or another module of that name."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    if module:
        monkeypatch.setitem(sys.modules, "torch", module)
    packed = amssim.quantize(np.ones((2, 6), np.float32))
    assert isinstance(amssim.gemv(packed, np.ones(6, np.float32)), np.ndarray)
    assert isinstance(packed.dequantize("bfloat16"), np.ndarray)
    assert not is_tensor(1) and not is_tensor_dtype("torch.float32")
    assert sys.modules.get("torch") is module


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda p: amssim.gemv(p, object()), "x must be float16, bfloat16, float32, float64, foun"),
        (lambda p: amssim.gemv(p, [[1.0], [1.0, 2.0]]), "x cannot be read as an array"),
        (lambda p: amssim.Metrics.of([[1.0], [1.0, 2.0]], [[1.0]]), "weights cannot be read as an"),
        (lambda p: p.dequantize("torch.float32"), "dtype must be float16, bfloat16, float32 or fl"),
    ],
)
def test_what_is_no_array(call, sentence):
    packed = amssim.quantize(np.ones((2, 6), np.float32))
    with pytest.raises(amssim.InputError) as refused:
        call(packed)
    assert str(refused.value).startswith(sentence) and "\n" not in str(refused.value)
