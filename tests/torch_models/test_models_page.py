"""The page on running models and the README say what runs, as they stand."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import amssim  # noqa: E402
from torch_models.tiny import llama, saved  # noqa: E402

PAGES = [
    path for path in Path(__file__).parents[2].glob("**/*.md") if "amssim.torch" in path.read_text()
]
BLOCKS = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    if "amssim.torch" in code
]


@pytest.mark.parametrize("code", BLOCKS)
def test_blocks_run(code, tmp_path, monkeypatch):
    saved(llama(), tmp_path / "model")
    amssim.quantize_checkpoint(tmp_path / "model", tmp_path / "model-fp5.33", "fp5.33")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "page", "exec"), names)
    stored, packed = names["model"].state_dict(), names["packed"].state_dict()
    assert all(torch.equal(stored[name], value) for name, value in packed.items())
