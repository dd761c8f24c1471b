"""What verbs load: looking at headers needs neither arrays nor a compiler."""

import shutil
import subprocess
import sys

import pytest

from amssim.cli.entry import VERBS, main
from checkpoint.builders import make_model

LOADED = """
import sys
from amssim.cli import main
code = main(sys.argv[1:])
print(code, *sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start_up")
    make_model(folder / "model")
    assert main(["quantize", str(folder / "model"), str(folder / "packed")]) == 0
    return folder


def loaded_by(folder, *argv):
    command = [sys.executable, "-c", LOADED, *argv]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    code, *modules = done.stderr.split()
    assert code == "0", done
    return set(modules)


@pytest.mark.parametrize("verb", VERBS)
def test_help_needs_nothing(files, verb):
    assert not loaded_by(files, verb, "--help") & {"numpy", "numba", "rich", "scipy"}


@pytest.mark.parametrize("path", ["model", "packed"])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_inspect_needs_no_arrays(files, path, as_json):
    assert not loaded_by(files, "inspect", path, *as_json) & {"numpy", "numba", "rich", "ml_dtypes"}


def test_a_plan_needs_no_arrays(files):
    loaded = loaded_by(files, "quantize", "model", "new", "--dry-run")
    assert not loaded & {"numpy", "numba", "rich", "ml_dtypes"}


def test_seal_needs_no_compiler(files):
    shutil.copytree(files / "model", files / "to-seal")
    assert not loaded_by(files, "seal", "to-seal") & {"numba", "rich", "scipy"}


def test_kernels_from_disk_need_nothing_that_compiles(files):
    """Numba's own way of loading them imports all that it can type and lower, SciPy included."""
    main(["verify", str(files / "packed")])  # compiled now, if they had not been
    modules = loaded_by(files, "verify", "packed")
    assert "numba" in modules
    assert not modules & {"numba.np.linalg", "numba.np.arraymath", "scipy.linalg", "rich"}
