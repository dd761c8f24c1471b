"""The project's own source as data for tests: modules, imports and top-level definitions."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("amssim", "cuda_kernels")


@dataclass(frozen=True)
class Import:
    """One imported module, and the name that is taken from it, if one is."""

    module: str
    names: tuple[str, ...]


@cache
def modules() -> dict[str, Path]:
    """Every module of the packages by its dotted name; a package's is that of its folder."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {module_name(path): path for path in paths}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[Import]:
    """Imports of a file; a name that a package hands on counts as imported from its module."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, ())
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path}: a relative import"
            for alias in node.names:
                module = defining_module(node.module, alias.name)
                yield Import(module, (alias.name,))


def defining_module(module: str, name: str) -> str:
    """The module that ``from module import name`` reaches in the end."""
    deeper = handed_on(module).get(name, f"{module}.{name}")
    if deeper == f"{module}.{name}":
        return deeper if deeper in modules() else module
    return defining_module(deeper, name)


@cache
def handed_on(package: str) -> dict[str, str]:
    """Name -> module, of what a package's ``__init__`` or its stub takes from elsewhere."""
    path = modules().get(package)
    if path is None or path.name != "__init__.py":
        return {}
    stub = path.with_suffix(".pyi")
    names = {}
    for node in tree(stub if stub.exists() else path).body:
        if isinstance(node, ast.ImportFrom):
            source = ".".join([package, node.module] if node.module else [package])
            source = source if node.level else str(node.module)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                names[alias.name] = inner if not node.module else source
    return names


def own_imports(path: Path) -> Iterator[Import]:
    """Imports of this project's packages."""
    return (i for i in imports(path) if i.module.split(".")[0] in PACKAGES)


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))


def public_definitions(path: Path) -> Iterator[str]:
    """Names of the functions, classes and constants that a module defines, without underscore."""
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [t.id for target in node.targets for t in _targets(target)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))


def _targets(target: ast.expr) -> list[ast.Name]:
    parts = target.elts if isinstance(target, ast.Tuple) else [target]
    return [part for part in parts if isinstance(part, ast.Name)]


@cache
def kernel_modules() -> frozenset[str]:
    """Modules of Numba kernels, which pyproject.toml names because mypy passes over them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    overrides = settings["tool"]["mypy"]["overrides"]
    return frozenset(m for o in overrides if o.get("ignore_errors") for m in o["module"])
