"""Stamps of compiled kernels change with every source that a kernel is made of, and no other."""

import shutil
from pathlib import Path

import pytest

from amssim import _sources

PROJECT = {
    "amssim/kernels.py": "import numpy\nfrom amssim.helpers import (\n    a,\n    b,\n)\n",
    "amssim/helpers.py": "def f():\n    from amssim import constants\n",
    "amssim/constants.py": "import cuda_kernels.sizes\nA = 1\n",
    "cuda_kernels/sizes/__init__.py": "from cuda_kernels.sizes.tiles import T  # only one\n",
    "cuda_kernels/sizes/tiles.py": "T = 2\n",
    "cuda_kernels/sizes/unused.py": "from amssim.other import B\n",
    "amssim/other.py": "from amssim import kernels\nB = 1\n",
    "amssimilar.py": "C = 1\n",
}
REACHED = PROJECT.keys() - {"cuda_kernels/sizes/unused.py", "amssim/other.py", "amssimilar.py"}


def written(folder: Path, **changes) -> Path:
    for name, text in (PROJECT | changes).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def stamp_of(folder: Path, *modules: str) -> str:
    """As a new process finds it."""
    _sources.stamp.cache_clear()
    _sources.source.cache_clear()
    try:
        return _sources.stamp(*modules, root=folder)
    finally:
        _sources.stamp.cache_clear()
        _sources.source.cache_clear()


@pytest.mark.parametrize("name", PROJECT)
def test_a_change_is_seen_where_imports_lead_to_it(tmp_path, name):
    folder = written(tmp_path)
    before = stamp_of(folder, "amssim.kernels")
    assert stamp_of(folder, "amssim.kernels") == before
    written(tmp_path, **{name: PROJECT[name] + "# changed\n"})
    assert (stamp_of(folder, "amssim.kernels") != before) == (name in REACHED)


def test_imports_that_lead_round_in_a_circle_end(tmp_path):
    folder = written(tmp_path)
    names = _sources.reached("amssim.other", root=folder)
    assert {"amssim.other", "amssim.kernels", "cuda_kernels.sizes.tiles"} <= names
    assert "amssim.helpers.a" not in names, "a function is no module"


def test_several_modules_count_together(tmp_path):
    folder = written(tmp_path)
    inner, outer = "cuda_kernels.sizes.tiles", "amssim.constants"
    assert stamp_of(folder, inner, outer) == stamp_of(folder, outer) != stamp_of(folder, inner)


def test_a_module_of_another_project_has_no_source():
    assert _sources.source("numpy") == _sources.source("amssim.no_such_module") == b""
    assert _sources.reached("numpy") == frozenset()


@pytest.mark.parametrize(
    ("module", "some", "none"),
    [
        ("amssim.codec.rows", {"amssim.codec.elements", "amssim.layout"}, {"amssim.cpu"}),
        (
            "cuda_kernels.gemv.kernel",
            {"cuda_kernels.gemv.feed", "cuda_kernels.ptx.memory", "amssim.launch.geometry"},
            {"cuda_kernels.matrix", "cuda_kernels.stream.kernel", "amssim.launch.choose"},
        ),
    ],
)
def test_what_real_kernels_are_made_of(module, some, none):
    names = _sources.reached(module)
    assert some <= names
    assert not none & names


def test_a_copy_of_the_project_changes_its_stamp_with_each_file_that_a_kernel_reaches(tmp_path):
    """Not a made-up project: the sources that stand here."""
    for package in ("amssim", "cuda_kernels"):
        where = shutil.ignore_patterns("__pycache__", "*.json", "*.csv")
        shutil.copytree(_sources.ROOT / package, tmp_path / package, ignore=where)
    module = "cuda_kernels.gemv.kernel"
    reached, before = _sources.reached(module), stamp_of(tmp_path, module)
    assert before == _sources.stamp(module)
    changed = 0
    for path in sorted(tmp_path.rglob("*.py")):
        name = ".".join(path.relative_to(tmp_path).with_suffix("").parts).removesuffix(".__init__")
        if name not in reached and changed > 3:
            continue
        text = path.read_text()
        path.write_text(text + "# changed\n")
        assert (stamp_of(tmp_path, module) != before) == (name in reached), name
        changed += name not in reached
        path.write_text(text)
