"""The scripts of analysis/ import each other by name, as they do when they are run."""

import sys
from pathlib import Path

import pytest

ANALYSIS = Path(__file__).parents[2] / "analysis"


@pytest.fixture(autouse=True, scope="session")
def scripts():
    """Make the scripts importable."""
    sys.path.insert(0, str(ANALYSIS))
    yield
    sys.path.remove(str(ANALYSIS))
