"""What compiled code is made of: the sources that a module leads to by its imports.

Compiled kernels are kept on disk, those of the CPU by Numba (`amssim._jit`) and PTX by
`cuda_kernels.ptx_cache`. A kernel holds code and constants of the modules that its own imports, so
what is kept is valid as long as none of their sources changes.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

#: The folder that holds the packages whose imports are followed.
ROOT = Path(__file__).parents[1]
_PACKAGES = rb"(?:amssim|cuda_kernels)\b[\w.]*"
_IMPORT = re.compile(
    rb"^\s*(?:from (%s) import (\([^)]*\)|.*)|import (%s))" % (_PACKAGES, _PACKAGES), re.MULTILINE
)


@cache
def stamp(*modules: str, root: Path = ROOT) -> str:
    """Hash of the sources of ``modules`` and of every module of the packages they lead to."""
    digest = hashlib.sha256()
    for name in sorted(reached(*modules, root=root)):
        digest.update(source(name, root))
    return digest.hexdigest()


def reached(*modules: str, root: Path = ROOT) -> frozenset[str]:
    """Names of ``modules`` and of the modules of the packages they lead to.

    >>> sorted(reached("amssim.scheme"))
    ['amssim.errors', 'amssim.minifloat', 'amssim.scheme']
    """
    sources: dict[str, bytes] = {}
    ahead = set(modules)
    while ahead:
        name = ahead.pop()
        sources[name] = source(name, root)
        ahead |= _imported(sources[name]) - sources.keys()
    return frozenset(name for name, text in sources.items() if text)


@cache
def source(module: str, root: Path = ROOT) -> bytes:
    """Source of ``module``; empty if it has no file under ``root``."""
    path = root.joinpath(*module.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file.read_bytes() for file in files if file.is_file()), b"")


def _imported(text: bytes) -> set[str]:
    """Modules that a source may import: a.b and a.b.c of ``from a.b import c``."""
    modules = set()
    for package, names, whole in _IMPORT.findall(text):
        modules.add((package or whole).decode())
        found = re.findall(r"\w+", names.decode())
        modules |= {f"{package.decode()}.{name}" for name in found}
    return modules
