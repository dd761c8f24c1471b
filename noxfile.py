"""What CI runs, one session each: `nox -s NAME`, or `nox` for all that a change needs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nox
from packaging.requirements import Requirement

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
EXTRAS = PROJECT["optional-dependencies"]
# The CUDA packages allow few versions of the others; benchmarks time what is tested elsewhere.
ON_CPU = ["--ignore=tests/cuda_kernels", "--ignore=tests/bench"]

# What the tests of packed models were last run with; its CPU build is small.
TORCH = "torch==2.13.0"

# Type-checks only if the installed package brings its types.
TYPED_USE = """
import amssim, numpy as np
packed: amssim.PackedTensor = amssim.quantize(np.ones((2, 3)), "fp4.25", scale_block=None)
"""

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "docs", "examples", "wheel", "tests"]


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely mistakes."""
    session.install(*EXTRAS["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types of everything but Numba kernels."""
    session.install("-e", ".[test,types]")
    session.run("mypy", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site into site/; a broken link or reference is an error."""
    session.install("-e", ".[docs]")
    session.run("python", "-m", "doctest", "docs/site/docstrings.py")
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def examples(session: nox.Session) -> None:
    """The notebooks, which stay as they are; the one on a GPU is run by hand."""
    session.install("-e", ".[examples]")
    notebooks = session.posargs or ["examples", "--ignore=examples/04_on_a_gpu.ipynb"]
    session.run("pytest", "--nbmake", *notebooks)


@nox.session
def wheel(session: nox.Session) -> None:
    """What a user installs, away from the sources: it quantises, and its types are seen."""
    session.install("build", *EXTRAS["types"])
    with tempfile.TemporaryDirectory() as directory:
        session.run("python", "-m", "build", "--outdir", directory, silent=True)
        (built,) = Path(directory).glob("*.whl")
        session.install("--force-reinstall", "--no-deps", str(built))
        session.install(str(built))
        with session.chdir(directory):
            session.run("amssim", "demo", "--output", "demo")
            session.run("amssim", "verify", "demo/fp4.25-e2m2.safetensors")
            session.run("mypy", "--strict", "-c", TYPED_USE)


@nox.session
def tests(session: nox.Session) -> None:
    """Everything, as README.md says it."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def models(session: nox.Session) -> None:
    """Packed layers in PyTorch models, transformers and stand-ins for vLLM, on the CPU."""
    session.install("-e", ".[test-torch]", TORCH)
    folders = ["tests/torch_models", "tests/vllm_plugin", "amssim/torch"]
    session.run("pytest", *folders, *session.posargs)


def lowest_versions() -> list[str]:
    """The dependencies of pyproject.toml, each at the lowest version that it states."""
    requirements = [Requirement(text) for text in PROJECT["dependencies"]]
    return [
        f"{r.name}=={s.version}" for r in requirements for s in r.specifier if s.operator == ">="
    ]


@nox.session
def oldest(session: nox.Session) -> None:
    """The oldest versions of the dependencies that pyproject.toml states."""
    session.install("-e", ".[test-cpu]", *lowest_versions())
    # old releases meet newer ones of what they need themselves, and warn
    session.run("pytest", "-W", "ignore::DeprecationWarning", *ON_CPU, *session.posargs)


@nox.session
def newest(session: nox.Session) -> None:
    """The newest versions that there are for this Python, beyond what the CUDA packages allow."""
    session.install("--upgrade", "--upgrade-strategy=eager", "-e", ".[test-cpu]")
    session.run("pytest", *ON_CPU, *session.posargs)
