"""PTX of kernels on disk: a kernel takes seconds to compile, and milliseconds to read again.

Files lie under ``$AMSSIM_CACHE_DIR``, by default ``amssim`` in the user's cache directory. Their
names are hashes of what was compiled, of the sources it is made of (`amssim._sources`) and of the
compilers' versions, so that a stale file is never read. Where nothing can be written, kernels are
compiled every time.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from amssim import _sources

#: Modules that turn a kernel into PTX, and other projects' packages that do.
_COMPILERS = ("cuda_kernels.compile",)
_PACKAGES = ("numba", "numba-cuda", "llvmlite", "nvidia-nvvm")


def folder() -> Path:
    """Where PTX is kept."""
    chosen = os.environ.get("AMSSIM_CACHE_DIR")
    if chosen:
        return Path(chosen) / "ptx"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "amssim" / "ptx"


@cache
def versions() -> str:
    """Versions of what compiles kernels."""
    several = []
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            several.append(f"{package} {metadata.version(package)}")
    return ", ".join(several)


def cached(module: str, key: tuple[object, ...], build: Callable[[], str]) -> str:
    """PTX of ``key``: what is on disk, else what ``build`` returns, which is then kept there.

    Args:
        module: that makes the kernel.
        key: all that the PTX depends on beside sources and versions; equal keys, equal ``repr``.
        build: compiles it.
    """
    path = None
    with suppress(OSError, RuntimeError, UnicodeDecodeError):  # RuntimeError: no home directory
        made_of = (_sources.stamp(module, *_COMPILERS), versions(), key)
        path = folder() / f"{hashlib.sha256(repr(made_of).encode()).hexdigest()}.ptx"
        text = path.read_text()
        if ".visible .entry" in text and text.rstrip().endswith("}"):
            return text
    text = build()
    if path:
        with suppress(OSError):
            _write(path, text)
    return text


def _write(path: Path, text: str) -> None:
    """Write a file that other processes see whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
