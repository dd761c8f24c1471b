"""The scripts of analysis/ read the recorded measurements; they import each other by name."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def script():
    """Import a script of analysis/ by its name."""
    sys.path.insert(0, str(ROOT / "analysis"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "analysis"))


@pytest.fixture(scope="session")
def tables() -> Path:
    """The public tables of measured latencies, which are not part of the project."""
    if not TABLES.is_dir():
        pytest.skip("the public tables of latencies are not beside the project")
    return TABLES
