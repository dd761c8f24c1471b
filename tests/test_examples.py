"""Notebooks as they are stored; `nox -s examples` runs them."""

import ast
import itertools
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
BY_HAND = "04_on_a_gpu"


def cells(path: Path, kind: str) -> list[dict]:
    found = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == kind]
    return [cell | {"text": "".join(cell["source"])} for cell in found]


def by_name(path: Path) -> str:
    return path.stem


@pytest.fixture(params=NOTEBOOKS, ids=by_name)
def notebook(request) -> Path:
    return request.param


def test_there_are_four():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]
    assert NOTEBOOKS[-1].stem == BY_HAND


def test_ci_leaves_out_that_one_alone():
    left_out = re.findall(r"--ignore=(examples/\S+?)\"", (ROOT / "noxfile.py").read_text())
    assert left_out == [f"examples/{BY_HAND}.ipynb"]


def test_it_says_what_it_is_and_what_it_needs(notebook):
    first = cells(notebook, "markdown")[0]["text"]
    assert first.startswith("# ") and "Needs" in first
    assert "[README](../README.md)" in first  # the one place that says how to install it
    if notebook.stem == BY_HAND:
        assert "jupyter execute" in first and "NVIDIA GPU" in first


def test_it_is_stored_without_outputs(notebook):
    """But for the one that CI cannot run; its first cell prints the machine."""
    if notebook.stem == BY_HAND:
        printed = [text for cell in cells(notebook, "code") for text in cell["outputs"]]
        assert "NVIDIA" in "".join(printed[0]["text"]) and len(printed) >= 4
        return
    for cell in cells(notebook, "code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None


def test_it_holds_nothing_of_a_machine(notebook):
    content = json.loads(notebook.read_text())
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    assert set(content["metadata"]) <= {"kernelspec", "language_info"}
    assert not re.search(r"/(home|root|tmp|work|Users)/", notebook.read_text())
    assert notebook.stat().st_size < 200_000


def test_it_takes_public_names_only(notebook):
    for cell in cells(notebook, "code"):
        for node in ast.walk(ast.parse(cell["text"])):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module]
            elif isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_") or node.attr == "__version__"
                continue
            else:
                continue
            assert not [m for m in modules if m.startswith("amssim.") or m == "cuda_kernels"]


def test_its_names_of_the_package_exist(notebook):
    import amssim

    for cell in cells(notebook, "code"):
        for name in re.findall(r"\bamssim\.(\w+)", cell["text"]):
            assert name in amssim.__all__, f"{notebook.stem} uses amssim.{name}"


def test_its_links_lead_somewhere(notebook):
    for cell in cells(notebook, "markdown"):
        for target in re.findall(r"\]\(([^)#:]+)\)", cell["text"]):
            assert (notebook.parent / target).is_file()


def test_each_leads_to_the_next():
    for path, following in itertools.pairwise(NOTEBOOKS):
        assert f"]({following.name})" in cells(path, "markdown")[-1]["text"]
