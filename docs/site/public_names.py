"""Which names are public, read from the stubs, and on which page of the site each stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Where a public name is defined says on which page it stands: the longest match decides.
PAGE_OF = {
    "scheme": "codec",
    "minifloat": "codec",
    "layout": "codec",
    "drawing": "codec",
    "rules": "codec",
    "reference": "codec",
    "codec": "codec",
    "tensor": "codec",
    "formats": "codec",
    "tensor.product": "products",
    "cpu": "products",
    "gpu": "gpu",
    "launch": "gpu",
    "checkpoint": "checkpoints",
    "metrics": "quality",
    "quality": "quality",
    "figures": "quality",
    "progress": "checkpoints",
    "lm": "lm",
    "torch": "models",
    "simulator": "simulator",
    "hardware": "simulator",
    "bench": "bench",
    "errors": "errors",
    "testing": "errors",
}


def by_page() -> dict[str, list[str]]:
    """Return for every page the public names on it, each once and under its shortest path.

    What stands in the package itself comes first, then each part with its own names.
    """
    origins = {name: origin for package in _packages() for name, origin in _imports(package)}
    shortest: dict[str, str] = {}
    for name in origins:
        shortest.setdefault(_first(name, origins), name)
    pages: dict[str, list[str]] = {page: [] for page in PAGE_OF.values()}
    for origin, name in sorted(shortest.items(), key=lambda item: _part(item[1], item[0])):
        hidden = name != origin and _is_module(name)  # amssim.scheme, the function of the module
        pages[page_of(origin)].append(origin if hidden else name)
    return pages


def _part(name: str, origin: str) -> str:
    """The part of the package that a name belongs to; empty for what stands in the package."""
    return name.split(".")[1] if name.count(".") > 1 or name == origin else ""


def _is_module(name: str) -> bool:
    return ROOT.joinpath(*name.split(".")).with_suffix(".py").exists()


def is_package(name: str) -> bool:
    """Whether the public names of ``name`` are listed by themselves."""
    return name in _packages()


def page_of(origin: str) -> str:
    """Return the page for what is defined at ``origin``, such as amssim.tensor.packed.X."""
    parts = origin.split(".")[1:]
    for length in range(len(parts), 0, -1):
        if page := PAGE_OF.get(".".join(parts[:length])):
            return page
    raise ValueError(f"{origin} is public and has no page: add its room to {Path(__file__).name}")


@cache
def _packages() -> list[str]:
    """The package and its parts, but for the command line, which has a page of another kind."""
    paths = sorted((ROOT / "amssim").glob("*/__init__.py"))
    return ["amssim", *(f"amssim.{p.parent.name}" for p in paths if p.parent.name != "cli")]


def _imports(package: str) -> Iterator[tuple[str, str]]:
    """Yield (public name, where it comes from) for what the stub, or else __all__, lists."""
    folder = ROOT.joinpath(*package.split("."))
    stub = folder / "__init__.pyi"
    tree = ast.parse((stub if stub.exists() else folder / "__init__.py").read_text())
    listed = _all(tree)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            module = ".".join([package] * node.level + [node.module] * bool(node.module))
            for alias in node.names:
                public = stub.exists() or alias.name in listed
                if public and not alias.name.isupper():  # constants have no docstring to show
                    yield f"{package}.{alias.name}", f"{module}.{alias.name}"


def _all(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def _first(name: str, origins: dict[str, str]) -> str:
    """Follow a name that one package takes from another to where it is defined."""
    while name != origins.get(name, name):
        name = origins[name]
    return name
