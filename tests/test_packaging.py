"""What is installed: the version and the dependencies stated once, every file in the wheel."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import amssim
from source_tree import PACKAGES, imports, modules

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
VERSION = re.compile(r"\d+(\.\d+)*")


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in VERSION.match(version)[0].split("."))


def lowest() -> dict[str, str]:
    """The lowest version of each dependency."""
    return dict(text.split(">=") for text in PROJECT["dependencies"])


# --- the version ------------------------------------------------------------------------------


def test_the_version_has_one_source():
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    sources = [
        *ROOT.glob("*.toml"),
        *ROOT.glob("amssim/**/*.py"),
        *ROOT.glob("cuda_kernels/**/*.py"),
    ]
    text = f'"{amssim.__version__}"'
    assert [p for p in sources if text in p.read_text()] == [ROOT / "amssim" / "__init__.py"]


def test_the_command_line_prints_it():
    command = [sys.executable, "-m", "amssim", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == f"amssim {amssim.__version__}\n"


def test_the_newest_entry_of_the_changelog_is_this_version():
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first[1] == amssim.__version__


def test_the_citation_is_of_this_version_and_names_the_paper():
    text = (ROOT / "CITATION.cff").read_text()
    top = dict(re.findall(r"^([\w-]+): *(.*)$", text, re.MULTILINE))
    assert {
        "cff-version",
        "title",
        "message",
        "authors",
        "version",
        "date-released",
        "license",
    } <= top.keys()
    assert top["version"] == amssim.__version__ and top["license"] == PROJECT["license"]
    assert top["cff-version"] == "1.2.0" and top["type"] == "software"
    assert "https://arxiv.org/abs/2510.16045" in text and "  - type: article" in text


# --- the dependencies -------------------------------------------------------------------------


def test_no_dependency_has_an_upper_bound():
    """A cap binds every user; those of the CUDA packages stand in their extra."""
    for text in PROJECT["dependencies"]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+", text), text
    assert any(re.fullmatch(r"numpy<[\d.]+", text) for text in EXTRAS["cuda"])


def test_the_test_command_brings_all_that_tests_import():
    assert any(text == "amssim[test-cpu,distributed]" for text in EXTRAS["test"])
    assert any(text.startswith("amssim[cuda]") for text in EXTRAS["test"])
    assert {"pytest", "hypothesis", "gfloat", "safetensors"} <= {
        re.split("[<>=]", t)[0] for t in EXTRAS["test-cpu"]
    }


def test_what_is_imported_is_stated_and_what_is_stated_is_imported():
    """Extras and peers aside, and llvmlite, which is part of Numba."""
    optional = {"llvmlite", "cuda", "cupy", "torch", "transformers", "hypothesis"}
    optional |= {"dask", "distributed", "vllm", "triton"}  # the last comes with PyTorch for GPUs
    peers = {"gemlite", "bitsandbytes", "torchao"}
    imported = {found.module.partition(".")[0] for p in modules().values() for found in imports(p)}
    foreign = imported - sys.stdlib_module_names - set(PACKAGES) - optional - peers
    assert foreign == lowest().keys()


def test_development_takes_every_tool():
    (own,) = (re.fullmatch(r"amssim\[(.*)\]", text) for text in EXTRAS["dev"] if "amssim" in text)
    assert set(own[1].split(",")) == {"test", "lint", "types", "docs", "examples"}


def test_tested_versions_are_those_stated():
    """analysis/results/tested_versions.json says with what the tests have passed."""
    record = json.loads((ROOT / "analysis" / "results" / "tested_versions.json").read_text())
    assert record["oldest"].keys() == record["newest"].keys() == {"python", *lowest()}
    for name, stated in lowest().items():
        tested = as_numbers(record["oldest"][name])
        stated_numbers = as_numbers(stated)
        padded = stated_numbers + (0,) * (len(tested) - len(stated_numbers))
        assert tested == padded, f"{name}: stated {stated}, tested {record['oldest'][name]}"
        assert as_numbers(record["newest"][name]) >= tested
    python = as_numbers(PROJECT["requires-python"].removeprefix(">="))
    assert as_numbers(record["oldest"]["python"])[:2] == python


def test_versions_here_are_those_allowed():
    from importlib.metadata import version

    for name, stated in lowest().items():
        assert as_numbers(version(name)) >= as_numbers(stated)


# --- the wheel --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """The names of the files in the wheel."""
    build = pytest.importorskip("hatchling.build", reason="hatchling builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        name = build.build_wheel(str(folder))
    return set(zipfile.ZipFile(folder / name).namelist())


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    files = [
        p for part in ("amssim", "cuda_kernels") for p in (ROOT / part).rglob("*") if p.is_file()
    ]
    names = {str(p.relative_to(ROOT)) for p in files if "__pycache__" not in p.parts}
    assert names == {name for name in wheel if ".dist-info/" not in name}


@pytest.mark.parametrize(
    "name",
    [
        "amssim/py.typed",
        "amssim/__init__.pyi",
        "amssim/checkpoint/__init__.pyi",
        "amssim/simulator/__init__.pyi",
        "amssim/data/demo-weights.safetensors",
        "amssim/hardware/profiles/h200.json",
        "amssim/simulator/fits/ams.json",
        "amssim/simulator/kernels/ams.json",
        "amssim/simulator/models/llama-3.1-8b.json",
    ],
)
def test_the_wheel_holds_types_and_data(wheel, name):
    assert name in wheel


def test_the_wheel_holds_nothing_else(wheel):
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {
        "amssim",
        "cuda_kernels",
    }
    suffixes = {Path(name).suffix for name in wheel if ".dist-info/" not in name}
    assert suffixes == {".py", ".pyi", ".typed", ".json", ".safetensors", ".md"}


# --- the tests --------------------------------------------------------------------------------


def test_files_of_tests_have_names_of_their_own():
    """pytest imports them by name, wherever they lie."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert not {name for name in names if names.count(name) > 1}
