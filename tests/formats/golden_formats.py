"""Reads the golden vectors of other packages."""

import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden"


def cases(package):
    """Every case of a package with its arrays."""
    stored = json.loads((GOLDEN / f"formats_{package}.json").read_text())["cases"]
    return [{key: _array(value, case["shape"]) for key, value in case.items()} for case in stored]


def _array(value, shape):
    if not isinstance(value, str):
        return value
    array = np.frombuffer(bytes.fromhex(value), "<f4")
    return array.reshape(shape) if array.size == np.prod(shape) else array
