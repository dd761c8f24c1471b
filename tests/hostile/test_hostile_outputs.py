"""Outputs that would destroy something, and inputs that are their own output."""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from amssim.cli.entry import VERBS
from checkpoint.builders import INDEX, make_model
from hostile.world import CONFIG, ONE, TWO, changes, state, tensors

BESIDE = ".amssim-{}.partial"


def staging_of(path: Path) -> Path:
    return path.parent / BESIDE.format(sha256(path.name.encode()).hexdigest()[:16])


def link(name, to):
    def change(world):
        path = world.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(to)

    return change


def files(*names, text="mine"):
    def change(world):
        for name in names:
            (world.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (world.folder / name).write_text(text)

    return change


def staging_folder_of_somebody(world):
    staging_of(world.out).mkdir()
    (staging_of(world.out) / "thesis.txt").write_text("mine")


def staging_folder_is_a_link(world):
    staging_of(world.out).symlink_to("precious")


def the_source_in_staging(world):
    world.model.rename(world.folder / "moved")
    world.out.mkdir()
    make_model(world.out / ".amssim-partial", tensors(), CONFIG)


def a_parent_is_a_file(world):
    (world.folder / "file").write_text("mine")


def hard_linked_output(world):
    world.out.mkdir()
    for path in world.model.iterdir():
        os.link(path, world.out / path.name)


def linked_source(world):
    """The source's files are links into the output."""
    world.model.rename(world.out)
    world.model.mkdir()
    for path in world.out.iterdir():
        (world.model / path.name).symlink_to(path)


TO = ["quantize", "model"]

#: What is done before, the command, the exit code and words of the sentence.
REFUSED = {
    "36 itself": (None, [*TO, "model"], 4, ""),
    "36 itself with --overwrite": (None, [*TO, "model", "--overwrite"], 4, ""),
    "36 itself by another path": (None, [*TO, "precious/../model", "--overwrite"], 4, ""),
    "36 itself by a link": (link("l", "model"), [*TO, "l", "--overwrite"], 4, ""),
    "36 inside": (None, [*TO, "model/out"], 4, ""),
    "36 inside by a link": (link("l", "model"), [*TO, "l/out"], 4, ""),
    "36 source linked into output": (linked_source, [*TO, "out", "--overwrite"], 4, ""),
    "36 source hard linked": (hard_linked_output, [*TO, "out", "--overwrite"], 4, ""),
    "36 source in staging": (
        the_source_in_staging, ["quantize", "out/.amssim-partial", "out"], 4, "",
    ),
    "34 staging is a link": (staging_folder_is_a_link, [*TO, "out"], 4, "link"),
    "34 staging inside is a link": (
        link("out/.amssim-partial", "../precious"), [*TO, "out"], 4, "",
    ),
    "34 staging of somebody else": (staging_folder_of_somebody, [*TO, "out"], 4, ""),
    "34 staging inside of somebody else": (
        files("out/.amssim-partial/thesis.txt"), [*TO, "out"], 4, "",
    ),
    "34 output is a dangling link": (link("out", "nowhere"), [*TO, "out"], 4, "out"),
    "34 output leads to itself": (link("out", "out"), [*TO, "out"], 4, "out"),
    "37 not empty": (files("out/mine.txt"), [*TO, "out"], 4, "not empty"),
    "37 a hidden file": (files("out/.mine"), [*TO, "out"], 4, "not empty"),
    "37 precious": (None, [*TO, "precious"], 4, "not empty"),
    "37 a file": (files("out"), [*TO, "out"], 4, "out"),
    "37 a file with --overwrite": (files("out"), [*TO, "out", "--overwrite"], 4, "out"),
    "37 a pipe": (lambda w: os.mkfifo(w.out), [*TO, "out", "--overwrite"], 4, "out"),
    "37 foreign shard": (files("out/x.safetensors"), [*TO, "out", "--overwrite"], 4, "x.safe"),
    "37 foreign index": (
        files("out/a.safetensors.index.json"), [*TO, "out", "--overwrite"], 4, "a.s",
    ),
    "37 a directory of a shard's name": (
        files(f"out/{ONE}/mine"), [*TO, "out", "--overwrite"], 4, ONE,
    ),
    "41 the parent is a file": (a_parent_is_a_file, [*TO, "file/out"], 4, "file/out"),
    "41 a name of 256 bytes": (None, [*TO, "o" * 256], 4, "name"),
    "41 a path of 5000 bytes": (None, [*TO, "a/" * 2500], 4, "name"),
    "41 the root": (None, [*TO, "/proc/nothing/out"], 4, "/proc"),
    "41 a device": (None, [*TO, "/dev/null"], 4, "/dev/null"),
    "41 a single file, no suffix": (None, ["quantize", f"model/{ONE}", "out"], 4, ".safetensors"),
    "36 a single file onto itself": (
        None, ["quantize", f"model/{ONE}", f"model/{ONE}", "--overwrite"], 4, "",
    ),
    "34 a single file, staging a link": (
        lambda w: staging_of(w.folder / "o.safetensors").symlink_to("precious"),
        ["quantize", f"model/{ONE}", "o.safetensors"], 4, "",
    ),
    "37 a single file that exists": (
        files("o.safetensors"), ["quantize", f"model/{ONE}", "o.safetensors"], 4, "exists",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_destroy_something_is_refused(world, case):
    before, argv, code, words = REFUSED[case]
    if before:
        before(world)
    world.fails(code, words, *argv)


@pytest.mark.parametrize("name", ["config.json", INDEX])
def test_37_a_stale_file_that_the_result_would_be_read_by(world, name):
    """The output has one, the source has none: it would describe another model."""
    world.out.mkdir()
    (world.out / name).write_bytes((world.model / name).read_bytes())
    if name == INDEX:
        (world.model / INDEX).unlink()
        (world.model / TWO).unlink()
        (world.model / ONE).rename(world.model / "model.safetensors")
    else:
        (world.model / name).unlink()
    world.fails(4, name, "quantize", "model", "out", "--overwrite")


def test_37_only_what_the_run_writes_is_replaced(world):
    world.quantize("--scheme", "fp5.33")
    for name in ("mine.txt", ".hidden"):
        (world.out / name).write_text("mine")
    (world.out / "folder").mkdir()
    (world.out / "link").symlink_to("../precious")
    before = state(world.out)
    world.amssim("quantize", "model", "out", "--scheme", "fp4.25", "--overwrite")
    world.works("verify", "out", "--source", "model")
    touched = set(changes(before, state(world.out)))
    made = {"amssim.md", "amssim.seal.json"}
    assert touched <= {p.name for p in world.model.iterdir()} | made
    assert ONE in touched


def test_41_a_name_of_250_bytes_is_legal(world):
    world.quantize(dst="o" * 250)


def test_36_relative_paths_and_trailing_slashes(world):
    world.works("quantize", "./precious/..//model/", "out/", new=[world.out])
    world.works("verify", "out/.")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o027])
def test_45_modes_follow_the_umask(world, mask):
    before = os.umask(mask)
    try:
        out = world.quantize()
    finally:
        os.umask(before)
    assert {p.stat().st_mode & 0o777 for p in out.iterdir()} == {0o666 & ~mask}
    assert out.stat().st_mode & 0o777 == 0o777 & ~mask


def test_46_the_same_bytes_for_any_threads(world):
    one = world.quantize("--threads", 1, dst="one")
    for threads in (2, 7):
        many = world.quantize("--threads", threads, dst=f"many{threads}")
        assert {p.name: p.read_bytes() for p in one.iterdir()} == {
            p.name: p.read_bytes() for p in many.iterdir()
        }


LONG = ["x" * 5000, "a/" * 2600, "n" * 300, "\udcff\udcfe", "a\x00b", "", "~nobody", "*"]
READERS = {
    "inspect": [], "verify": [], "quantize": ["out"], "dequantize": ["out"], "error": [],
    "eval": ["--tokens", "t.npy"], "report": [], "seal": [],
}  # fmt: skip


@pytest.mark.parametrize("verb", [v for v in READERS if v in VERBS])
@pytest.mark.parametrize("path", LONG, ids=lambda p: ascii(p[:8]))
def test_paths_that_lead_to_nothing(world, verb, path):
    world.fails(3, "", verb, path, *READERS[verb])
