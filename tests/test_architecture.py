"""What docs/ARCHITECTURE.md says of imports, and nothing else, read from the page itself."""

import ast
import json
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from source_tree import ROOT, functions, imports, kernel_modules, modules, own_imports, tree

PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
SEAM = "amssim.tensor.packed"  # the one module that asks the package for what stands above it
HEAVY = {"numba", "matplotlib", "scipy", "rich", "hypothesis", "torch", "cupy", "numpy"}
PATHS = pytest.mark.parametrize("module", modules(), ids=str)


def directions(page: str) -> dict[str, set[str]]:
    """Part -> the parts that it may import: those left of it, and what these may import.

    >>> sorted(directions("    a <- b, c <- d")["d"])
    ['a', 'b', 'c']
    """
    below: dict[str, set[str]] = {}
    for line in re.findall(r"^    (\S.* <- .*)$", page, re.M):
        left: set[str] = set()
        for step in line.split("<-"):
            parts = {part.strip() for part in step.split(",")}
            for part in parts:
                below.setdefault(part, set()).update(left)
            left |= parts
    for part in TopologicalSorter(below).static_order():
        below[part] |= {deeper for lower in below[part] for deeper in below[lower]}
    return below


MAY_IMPORT = directions(PAGE)


def part_of(module: str) -> str:
    """The longest part of the page that holds a module."""
    name = module.removeprefix("amssim.").removeprefix("cuda_kernels.")
    while name and name not in MAY_IMPORT:
        name = name.rpartition(".")[0]
    return name


def is_face(module: str) -> bool:
    """Whether a module is an ``__init__`` that only hands names on."""
    return modules()[module].name == "__init__.py" and not list(functions(modules()[module]))


@PATHS
def test_every_module_has_a_place_on_the_page(module):
    assert module in PACKAGE_FACES or part_of(module), f"{module} stands on no line of the page"


PACKAGE_FACES = {"amssim", "amssim.__main__", "cuda_kernels"} | {
    m for m in modules() if m.count(".") == 1 and is_face(m)
}


@PATHS
def test_imports_point_down(module):
    part = part_of(module)
    for imported in own_imports(modules()[module]):
        target = part_of(imported.module)
        seam = module == SEAM and imported.module == "amssim"
        if seam or module in PACKAGE_FACES or imported.names == ("__version__",):
            continue
        assert target == part or target in MAY_IMPORT[part], (
            f"{module} imports {imported.module}; {part} may import {sorted(MAY_IMPORT[part])}"
        )


def test_no_files_import_each_other_in_a_circle():
    graph = {
        module: {i.module for i in own_imports(path) if not is_face(i.module)} - {module}
        for module, path in modules().items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_directions_are_read_as_they_are_written():
    found = directions("    a <- b, c <- d\n    x <- b\n\ntext a <- z\n")
    assert found["d"] == {"a", "b", "c", "x"}
    assert found["b"] == {"a", "x"}
    assert found["c"] == {"a"}
    assert "z" not in found


def scripts() -> dict[str, ast.Module]:
    """Analysis scripts and the code of example notebooks."""
    found = {str(p.relative_to(ROOT)): tree(p) for p in sorted((ROOT / "analysis").glob("*.py"))}
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
        lines = [line for cell in cells for line in "".join(cell["source"]).splitlines()]
        code = "\n".join("pass" if line.startswith(("%", "!")) else line for line in lines)
        found[str(path.relative_to(ROOT))] = ast.parse(code)
    return found


def public_names(module: str) -> set[str]:
    """What a user may import from ``module``: the names of its stub, or what it defines itself."""
    path = modules()[module]
    stub = path.with_suffix(".pyi")
    body = tree(stub if stub.exists() and path.name == "__init__.py" else path).body
    names = {a.asname or a.name for n in body if isinstance(n, ast.ImportFrom) for a in n.names}
    defined = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    defined |= {t.id for n in body if isinstance(n, ast.Assign) for t in n.targets
                if isinstance(t, ast.Name)}  # fmt: skip
    found = names | defined if path.name == "__init__.py" else defined
    return {name for name in found if not name.startswith("_")} | {"__version__"}


@pytest.mark.parametrize(("script", "code"), scripts().items(), ids=list(scripts()))
def test_scripts_and_examples_use_public_names(script, code):
    public = {"amssim"} | {f"amssim.{name}" for name in public_names("amssim")}
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            used = [alias.name for alias in node.names if alias.name.startswith("amssim")]
            assert set(used) <= public, f"{script} imports {used}"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("amssim"):
            assert node.module in public, (
                f"{script} imports from {node.module}, which is not public"
            )
            names = {alias.name for alias in node.names}
            assert names <= public_names(node.module), f"{script} imports {names} of {node.module}"


@PATHS
def test_only_the_command_line_prints(module):
    if part_of(module) == "cli":
        return
    calls = [n.func for n in ast.walk(tree(modules()[module])) if isinstance(n, ast.Call)]
    assert not [f for f in calls if isinstance(f, ast.Name) and f.id == "print"]
    assert "rich" not in {i.module.split(".")[0] for i in imports(modules()[module])}


@PATHS
def test_guards_are_errors_not_asserts(module):
    asserts = [n.lineno for n in ast.walk(tree(modules()[module])) if isinstance(n, ast.Assert)]
    assert not asserts, f"{module}: an assert vanishes under python -O, lines {asserts}"


@PATHS
def test_functions_fit_a_screen(module):
    if module in kernel_modules():
        return
    long = [f.name for f in functions(modules()[module]) if f.end_lineno - f.lineno >= 60]
    assert not long
    assert len(modules()[module].read_text().splitlines()) <= 300


def test_kernel_modules_that_are_named_hold_kernels():
    unknown = kernel_modules() - set(modules())
    assert not unknown
    for module in kernel_modules():
        assert re.search(r"jit|cuda|ptx\(|overload|intrinsic", modules()[module].read_text()), (
            module
        )


def test_the_specification_does_not_use_numba():
    used = {i.module.split(".")[0] for i in imports(ROOT / "amssim" / "reference.py")}
    assert used <= {"amssim", "numpy", "__future__"}


def test_importing_the_package_is_light():
    code = "import sys, amssim; print(*sorted(m.split('.')[0] for m in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not set(loaded.stdout.split()) & HEAVY


STUBS = [path for path in ROOT.glob("amssim/**/*.pyi") if path.name == "__init__.pyi"]


@pytest.mark.parametrize("stub", STUBS, ids=lambda p: str(p.relative_to(ROOT)))
def test_stubs_rename_nothing_and_hold_no_conditions(stub):
    """The loader ignores new names and conditions, a type checker does not."""
    for node in tree(stub).body:
        assert isinstance(node, ast.ImportFrom | ast.AnnAssign), ast.unparse(node)
        if isinstance(node, ast.ImportFrom):
            assert all(alias.asname == alias.name for alias in node.names), ast.unparse(node)


def test_public_names_all_exist():
    import amssim

    for name in amssim.__all__:
        assert getattr(amssim, name) is not None
    assert public_names("amssim") <= set(amssim.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = amssim.nothing
