"""The three storeys of checkpoint: which may import which, and what the lowest does not know."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import amssim
from checkpoint.builders import make_model

ROOM = Path(amssim.__file__).parent / "checkpoint"
STOREYS = ("safetensors", "packed", "jobs")
FILES = [path for storey in STOREYS for path in sorted((ROOM / storey).glob("*.py"))]
OTHERS_WORDS = r"scheme|manifest|packing|packed|quanti[sz]|half-word|minifloat"


def modules(path: Path) -> list[str]:
    return [
        name
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if name.partition(".")[0] == "amssim"
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_storeys_import_those_below_only(path):
    above = STOREYS[STOREYS.index(path.parent.name) + 1 :]
    for module in modules(path):
        assert not module.startswith(tuple(f"amssim.checkpoint.{storey}" for storey in above))
        assert module not in ("amssim.checkpoint", "amssim.quality", "amssim.cli")


@pytest.mark.parametrize("path", sorted((ROOM / "safetensors").glob("*.py")), ids=lambda p: p.name)
def test_the_lowest_knows_nothing_of_quantisation(path):
    assert not re.findall(OTHERS_WORDS, path.read_text(), re.IGNORECASE)
    own = ("amssim.checkpoint.safetensors", "amssim.errors")
    assert all(module.startswith(own) for module in modules(path))


def test_every_public_name_is_there():
    from amssim import checkpoint

    assert len(checkpoint.__all__) > 15
    assert all(getattr(checkpoint, name) is not None for name in checkpoint.__all__)


def test_planning_and_inspecting_need_no_numba(tmp_path):
    code = (
        "import sys\n"
        "from amssim.checkpoint import inspect_checkpoint, plan_quantize\n"
        "plan_quantize(sys.argv[1]), inspect_checkpoint(sys.argv[1])\n"
        "assert 'numba' not in sys.modules\n"
    )
    model = make_model(tmp_path / "model")
    subprocess.run([sys.executable, "-c", code, str(model)], check=True)
