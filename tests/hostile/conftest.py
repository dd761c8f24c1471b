"""The world that every hostile test begins with."""

import pytest

from hostile.world import World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    names = {p.name for p in made.precious.rglob("*")}
    assert names == {"thesis.txt", "model-00001-of-00002.safetensors", "deep", "again",
                     "model.safetensors.index.json"}  # fmt: skip
    assert (made.precious / "thesis.txt").read_text() == "years of work"
