"""Names of tensors, reasons and texts of config that attack whoever prints them."""

import json

import numpy as np
import pytest

from amssim import PackedTensor, quantize
from amssim.checkpoint import inspect_checkpoint, open_checkpoint
from amssim.errors import AmsError
from checkpoint.builders import INDEX, make_model, weights, write_tensors
from hostile.world import CONFIG, ONE, TWO

NASTY = [
    "\x1b[2J\x1b]0;title\x07", "a\nb\r\x00c", "[bold red]x[/] :smile:", "| a | b |",
    "<script>alert(1)</script>", "../../etc/passwd", "$x_{$", "%s%n{0}", "\u202eright to left",
    "\u200b", "\x9b31m", "é\u0301重み", "__metadata__ ", "x" * 3000, ".", "..", " ", "-", "a=b",
]  # fmt: skip


@pytest.fixture
def nasty(world):
    """A model of nothing but nasty names, in the world's place."""
    for path in world.model.iterdir():
        path.unlink()
    world.model.rmdir()
    one = {f"{name}.weight": weights(3, 12, seed=i) for i, name in enumerate(NASTY)}
    two = {name: weights(5, seed=i) for i, name in enumerate(NASTY)}
    config = CONFIG | {"architectures": NASTY, "a\x1b": NASTY[0]}
    make_model(world.model, {ONE: one, TWO: two}, config)
    (world.model / "a\x1b[2J\nb.txt").write_text("named so")
    (world.model / ".\x1bhidden").write_text("")
    return world


def test_38_what_is_printed_is_printable(nasty):
    out, back = nasty.folder / "out", nasty.folder / "back"
    printed = [
        nasty.works("inspect", "model").out,
        nasty.works("quantize", "model", "out", "--dry-run").out,
        nasty.works("quantize", "model", "out", new=[out]).out,
        nasty.works("inspect", "out").out,
        nasty.works("verify", "out", "--source", "model").out,
        nasty.works("dequantize", "out", "back", new=[back]).out,
        nasty.works("error", "model", "--scheme", "fp4.25").out,
    ]
    for text in printed:
        assert text.replace("\n", "").isprintable()
    for verb in (["inspect", "out"], ["verify", "out"], ["quantize", "model", "x", "--dry-run"]):
        text = nasty.works(*verb, "--json").out
        assert text.isascii() and text.replace("\n", "").isprintable()
        json.loads(text)
    names = {p.name for p in nasty.model.iterdir() if not p.name.startswith(".")}
    assert {p.name for p in out.iterdir()} == names | {"amssim.md", "amssim.seal.json"}
    read = open_checkpoint(out)
    assert set(read) == {f"{name}.weight" for name in NASTY} | set(NASTY)


@pytest.mark.parametrize("name", NASTY, ids=ascii)
def test_38_errors_about_them_are_one_printable_line(world, name):
    bad = np.full((3, 12), np.nan, np.float32)
    write_tensors(world.folder / "s.safetensors", {f"{name}.weight": bad})
    world.fails(3, "NaN", "quantize", "s.safetensors", "q.safetensors")
    world.fails(3, "NaN", "error", "s.safetensors")
    world.fails(2, "", "quantize", "s.safetensors", "q.safetensors", "--scheme", name)
    if "=" not in name:
        world.fails(2, "rule", "quantize", "s.safetensors", "q.safetensors", "--rule", name)


@pytest.mark.parametrize("name", ["", "\ud800", "n" * 4090, 7, None, b"x"])
def test_x12_names_that_a_file_cannot_hold(world, name):
    packed = quantize(np.ones((2, 6), np.float32), "fp5.33")
    with pytest.raises(AmsError):
        packed.save(world.folder / "w.safetensors", name=name)
    assert not (world.folder / "w.safetensors").exists()


@pytest.mark.parametrize("path", ["x" * 5000, "a\x00b.safetensors", "\ud800.safetensors", ""])
def test_x12_paths_that_are_none(world, path):
    packed = quantize(np.ones((2, 6), np.float32), "fp5.33")
    for call in (packed.save, PackedTensor.load, inspect_checkpoint, open_checkpoint):
        with pytest.raises(AmsError):
            call(path)


def test_a_file_whose_name_is_no_unicode(world):
    (world.model / "\udcff\udcfe.txt").write_text("")
    world.fails(3, "rename it", "quantize", "model", "out")


def test_x1_a_name_so_long_that_its_packed_name_is_too_long(world):
    name = "n" * 4089 + ".weight"
    write_tensors(
        world.folder / "s.safetensors", {name: weights(3, 12), "w.weight": weights(3, 12)}
    )
    result = world.amssim("quantize", "s.safetensors", "q.safetensors")
    if result.code == 0:
        world.works("verify", "q.safetensors")
    else:
        world.fails(3, "name", "quantize", "s.safetensors", "q.safetensors")


def test_33_names_of_shards_that_differ_in_case_only(world):
    tensors = {"a.weight": weights(3, 12)}, {"b.weight": weights(3, 12)}
    for path in world.model.glob("model*"):
        path.unlink()
    write_tensors(world.model / "x.safetensors", tensors[0])
    write_tensors(world.model / "X.safetensors", tensors[1])
    index = {"weight_map": {"a.weight": "x.safetensors", "b.weight": "X.safetensors"}}
    (world.model / INDEX).write_text(json.dumps(index))
    world.fails(3, "case", "quantize", "model", "out")
