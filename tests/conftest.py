"""Settings shared by every test: reproducible Hypothesis runs, no plots on a screen."""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("MPLBACKEND", "Agg")
# A shell starts what runs in the background with SIGINT ignored, and tests of interrupts with it.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "suite",
    derandomize=True,
    max_examples=75,  # the profile "fuzz" searches longer
    deadline=None,  # the first example of a kernel compiles it
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "fuzz", deadline=None, max_examples=int(os.environ.get("FUZZ_EXAMPLES", "5000"))
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# Settings are no tests; as modules with doctests, all of one name, they would collide.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]

REFERENCE_MODEL = Path(__file__).parents[2] / "shared" / "reference-lm"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Looking through thousands of tests for garbage, again and again, takes its time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def reference_model() -> Path:
    """A real sharded BF16 checkpoint beside the project."""
    if not REFERENCE_MODEL.is_dir():
        pytest.skip("the reference model is not beside the project")
    return REFERENCE_MODEL
