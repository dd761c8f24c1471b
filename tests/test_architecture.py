"""The dependency direction of docs/ARCHITECTURE.md, read from the imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each part may import those named here, and itself. Order: from the ground up.
CORE = ["errors", "minifloat", "scheme", "layout", "rules"]
MAY_IMPORT = {
    "errors": [],
    "minifloat": ["errors"],
    "scheme": ["errors", "minifloat"],
    "layout": ["errors", "scheme"],
    "rules": ["errors"],
    "reference": CORE,
    "_sources": [],
    "_jit": ["errors", "_sources"],
    "_threads": ["errors"],
    "_npy": ["errors"],
    "figures": [],
    "progress": [],
    "metrics": ["errors", "_jit", "_threads"],
    "codec": [*CORE, "_jit", "_threads"],
    "cpu": [*CORE, "tensor", "codec", "_jit", "_threads"],
    "tensor": [*CORE, "codec", "cpu", "_jit", "_threads"],
    "formats": [*CORE, "reference", "tensor", "_jit", "_threads"],
    "lm": ["errors", "_npy", "checkpoint", "progress"],
    "quality": [
        *CORE,
        "reference",
        "_npy",
        "figures",
        "metrics",
        "progress",
        "tensor",
        "formats",
        "checkpoint",
        "lm",
    ],
    "checkpoint": [*CORE, "metrics", "tensor", "_threads"],
    "gpu": [*CORE, "tensor"],
    "bench": [
        *CORE,
        "metrics",
        "tensor",
        "checkpoint",
        "hardware",
        "simulator",
        "cuda_kernels",
        "_threads",
        "_jit",
    ],
    "hardware": ["errors"],
    "launch": [],
    "simulator": ["errors", "minifloat", "scheme", "hardware", "launch", "_jit", "_threads"],
}
# The facade methods of PackedTensor and gpu.py import what does the work when they are called.
INSIDE_FUNCTIONS = {"tensor": ["checkpoint", "gpu"], "gpu": ["cuda_kernels"]}
HEAVY = {"numba", "matplotlib", "scipy", "rich", "hypothesis", "torch", "cupy"}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "amssim").parts[0].removesuffix(".py")


def imports(path: Path):
    """Yield (module, whether inside a function) of every import of a file."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(f)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in inside
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "amssim":
                names = [f"amssim.{a.name}" for a in node.names]
            for name in names:
                yield name, id(node) in inside


def own_parts(path: Path):
    """Yield (part, whether inside a function) of every import from this project."""
    for module, inside in imports(path):
        names = module.split(".")
        if names[0] == "amssim" and len(names) > 1:
            yield names[1], inside
        elif names[0] in ("cuda_kernels", "tests", "analysis"):
            yield names[0], inside


SOURCES = sorted((ROOT / "amssim").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    part = part_of(path)
    if part in ("__init__", "cli", "__main__", "testing"):  # users of everything
        return
    for target, inside in own_parts(path):
        allowed = [part, *MAY_IMPORT[part], *(INSIDE_FUNCTIONS.get(part, []) if inside else [])]
        assert target in allowed, f"{path.name} imports {target}; {part} may import {allowed}"


@pytest.mark.parametrize("path", sorted((ROOT / "cuda_kernels").rglob("*.py")), ids=str)
def test_cuda_kernels_know_only_the_formats(path):
    assert {t for t, _ in own_parts(path)} <= {*CORE, "_sources", "launch", "cuda_kernels"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_command_line_prints(path):
    if part_of(path) == "cli":
        return
    tree = ast.parse(path.read_text())
    calls = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call)]
    assert not [f for f in calls if isinstance(f, ast.Name) and f.id == "print"]
    assert "rich" not in {module.split(".")[0] for module, _ in imports(path)}


def test_the_specification_does_not_use_numba():
    used = {m.split(".")[0] for m, _ in imports(ROOT / "amssim" / "reference.py")}
    assert used <= {"amssim", "numpy", "__future__"}


def test_importing_the_package_is_light():
    code = "import sys, amssim; print(*sorted(m.split('.')[0] for m in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not set(loaded.stdout.split()) & (HEAVY | {"numpy"})


def test_public_names_all_exist():
    import amssim

    for name in amssim.__all__:
        assert getattr(amssim, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = amssim.nothing
