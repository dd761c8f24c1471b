"""The documentation site: every page has a place, every public name a page."""

import ast
import inspect
import re
import sys
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from textwrap import dedent

import pytest

import amssim

ROOT = Path(__file__).parents[1]
CONFIG = (ROOT / "mkdocs.yml").read_text()
NAV = set(re.findall(r"([\w/.-]+\.md)$", CONFIG[CONFIG.index("\nnav:") :], re.MULTILINE))


@pytest.fixture(scope="module")
def public_names():
    sys.path.insert(0, str(ROOT / "docs" / "site"))
    try:
        import public_names
    finally:
        sys.path.pop(0)
    return public_names


def resolve(path: str) -> object:
    """What a dotted path leads to, by import and attributes."""
    from importlib import import_module

    package, _, name = path.rpartition(".")
    module = import_module(package) if package in sys.modules or package != "amssim" else amssim
    return getattr(module, name)


def test_every_document_is_in_the_navigation():
    pages = {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    assert pages <= NAV
    assert {"index.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= NAV


def test_every_notebook_is_in_the_navigation():
    notebooks = {f"examples/{path.stem}.md" for path in ROOT.glob("examples/*.ipynb")}
    assert notebooks == {page for page in NAV if page.startswith("examples/")}


def test_every_page_of_names_is_in_the_navigation(public_names):
    pages = {f"api/{page}.md" for page in public_names.by_page()}
    assert pages | {"api/cli.md"} == {page for page in NAV if page.startswith("api/")}


def test_every_page_of_names_has_a_title(public_names):
    tree = ast.parse((ROOT / "docs" / "site" / "pages.py").read_text())
    (titles,) = (
        n.value
        for n in ast.walk(tree)
        if isinstance(n, ast.Assign) and "API" in ast.unparse(n.targets[0])
    )
    assert set(ast.literal_eval(titles)) == set(public_names.by_page())


def test_every_name_of_the_package_is_on_one_page(public_names):
    shown = [name for names in public_names.by_page().values() for name in names]
    assert len(set(shown)) == len(shown)
    places = {name.removeprefix("amssim.").split(".")[0] for name in shown}
    assert {n for n in amssim.__all__ if not n.isupper()} - {"__version__"} <= places


def importable(public_names) -> list[str]:
    """Names on all pages, without those that need a package that is not here."""
    here = find_spec("torch") and find_spec("transformers")
    names = [name for names in public_names.by_page().values() for name in names]
    return [name for name in names if here or not name.startswith("amssim.torch.")]


def test_names_on_pages_exist_and_say_what_they_are(public_names):
    for name in importable(public_names):
        assert getattr(resolve(name), "__doc__", None), name


def test_pages_show_no_private_name(public_names):
    shown = [resolve(name) for name in importable(public_names)]
    for thing in filter(lambda x: inspect.isfunction(x) or inspect.isclass(x), shown):
        for node in ast.walk(ast.parse(dedent(inspect.getsource(thing)))):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                signature = f"{ast.unparse(node.args)} -> {ast.unparse(node.returns)}"
                assert not re.search(r"(?<!\w)_[A-Za-z]|lambda", signature), node.name
                assert not re.search(r"`_[A-Za-z]", ast.get_docstring(node) or ""), node.name


def test_a_name_without_a_page_is_an_error(public_names):
    with pytest.raises(ValueError, match=r"amssim\.new\.thing is public and has no page"):
        public_names.page_of("amssim.new.thing")


def test_the_longest_match_decides(public_names):
    assert public_names.page_of("amssim.tensor.quantize.quantize") == "codec"
    assert public_names.page_of("amssim.tensor.product.gemv") == "products"


def test_nothing_is_fetched_from_elsewhere():
    assert "font: false" in CONFIG and "http" not in CONFIG
    assert "edit_uri" not in CONFIG and "repo_url" not in CONFIG


def docstring_options() -> dict[str, bool]:
    """How the site reads docstrings, from mkdocs.yml."""
    lines = CONFIG.split("docstring_options:\n")[1].splitlines()
    indent = re.match(" *", lines[0])[0]
    own = takewhile(lambda line: line.startswith(indent), lines)
    return {name: value == "true" for name, value in re.findall(r"(\w+): (\w+)", "\n".join(own))}


def test_what_is_returned_is_told_in_one_text():
    options = docstring_options()
    assert options["returns_multiple_items"] is False
    assert options["returns_named_value"] is False


def test_lines_of_a_returns_section_stay_together():
    griffe = pytest.importorskip("griffe", reason="of the extra docs")
    for function in (amssim.gemv, amssim.gpu.gemv):
        docstring = griffe.Docstring(inspect.getdoc(function))
        sections = docstring.parse("google", **docstring_options())
        (returned,) = (s for s in sections if s.kind is griffe.DocstringSectionKind.returns)
        assert len(returned.value) == 1
