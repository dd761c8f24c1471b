"""The checkpoint benchmark: its checkpoint, its processes, and figures that follow from times."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from amssim.bench.checkpoint import benchmark, interrupted, items, page_cache
from amssim.bench.checkpoint.benchmark import benchmark_checkpoint, results
from amssim.bench.checkpoint.items import Item
from amssim.bench.checkpoint.process import Tree, Usage, run
from amssim.bench.checkpoint.synthetic import TINY, SyntheticModel, write_model
from amssim.checkpoint import plan_quantize
from amssim.errors import InputError, ResourceError
from checkpoint.builders import contents


def test_a_synthetic_model_is_a_checkpoint_without_zeros(tmp_path):
    nbytes = write_model(tmp_path / "m", TINY, shards=2)
    assert nbytes == sum(map(len, contents(tmp_path / "m").values()))
    shards = [load_file(p) for p in sorted((tmp_path / "m").glob("*.safetensors"))]
    tensors = shards[0] | shards[1]
    assert len(tensors) == len(shards[0]) + len(shards[1]) == 2 * 9 + 2
    assert sum(t.size for t in tensors.values()) == TINY.weight_count
    values = np.concatenate([t.astype(np.float64).ravel() for t in tensors.values()])
    assert (values != 0).all()
    assert abs(values.mean()) < 1e-3 and values.std() == pytest.approx(0.02, rel=0.02)
    # four of seven projections differ in shape: all of them are packed, nothing else is
    packed = plan_quantize(tmp_path / "m").summary.packed
    assert len(packed.tensors) == 2 * 7


def test_a_synthetic_model_has_the_same_bytes_each_time_and_others_for_another_seed(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_model(tmp_path / name, TINY, shards=1, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != contents(tmp_path / "c")


@pytest.mark.parametrize("nbytes", [0.0, 2e8, 8e8, 1e10])
def test_the_model_nearest_to_a_size(nbytes):
    model = SyntheticModel.near(nbytes)
    others = [SyntheticModel(layers=model.layers + step) for step in (-1, 1)]
    for other in others:
        assert other.layers < 1 or abs(model.nbytes - nbytes) <= abs(other.nbytes - nbytes)


@pytest.mark.parametrize("shards", [0, 3])
def test_shards_that_a_model_does_not_have(tmp_path, shards):
    with pytest.raises(InputError, match=f"{shards} shards of 2 layers: expected 1 to 2"):
        write_model(tmp_path / "m", TINY, shards=shards)
    assert not (tmp_path / "m").exists()


def test_a_process_is_measured_whole(tmp_path):
    code = "import time; x = bytearray(60_000_000); x[::4096] = x[::4096]; time.sleep(0.2)"
    idle, used = run((sys.executable, "-c", "print('here')")), run((sys.executable, "-c", code))
    assert idle.output == "here\n" and 0.2 <= used.wall_s < 5 and used.cpu_s < used.wall_s
    assert 50e6 < used.peak_bytes - idle.peak_bytes < 70e6


def test_the_peak_of_a_process_is_not_that_of_the_one_that_measures():
    mine = np.ones(50_000_000)  # 400 MB in this process
    assert run((sys.executable, "-c", "pass")).peak_bytes < 30e6 < mine.nbytes


def test_a_process_that_fails_says_why():
    with pytest.raises(ResourceError, match=r" -c .* failed: no room$"):
        run((sys.executable, "-c", "import sys; sys.exit('no room')"))
    with pytest.raises(ResourceError, match=r"no-such-command .* failed: "):
        run(("no-such-command",))


def test_a_tree_runs_its_own_package(tmp_path, monkeypatch):
    package = tmp_path / "amssim"
    package.mkdir()
    with pytest.raises(InputError, match="holds no package amssim"):
        Tree.other(tmp_path)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys; print('other', sys.argv[1:])")
    assert Tree.other(tmp_path).run("verify", 3).output == "other ['verify', '3']\n"
    monkeypatch.chdir(tmp_path)  # where another package lies
    assert Tree.own().run("--version").output.startswith("amssim ")


def test_files_are_dropped_from_the_page_cache_or_it_is_said_that_they_are_not(
    tmp_path, monkeypatch
):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(os.urandom(1 << 20))
    file, cached = os.open(tmp_path / "a", os.O_RDONLY), page_cache._is_cached
    os.pread(file, 1 << 20, 0)
    assert cached(file, 1 << 19)
    answers = []
    monkeypatch.setattr(
        page_cache, "_is_cached", lambda *a: answers.append(cached(*a)) or answers[-1]
    )
    assert page_cache.drop(tmp_path) == (not any(answers)) and len(answers) == 2
    os.close(file)
    monkeypatch.setattr(page_cache, "_is_cached", lambda *a: True)
    assert page_cache.drop(tmp_path) is False  # as in memory
    assert {p.stat().st_size for p in tmp_path.iterdir()} == {1 << 20}


def item(name, checkpoint="model", tree="this", cache="warm", walls=(2.0,), peak=100, output="{}"):
    runs = [Usage(wall, 1.5, peak, output) for wall in walls]
    return Item(name, checkpoint, tree, cache, lambda: None, Path(), lambda: None, runs)


def test_figures_follow_from_the_times():
    measured = [
        item("cp", tree="", walls=(0.5, 0.75)),
        item("quantize", walls=(3, 1, 2), peak=700, output='{"peak_memory_bytes": 640}'),
        item("quantize", tree="other", walls=(4, 5), peak=900),
        item("quantize", "tiny", peak=60),
        item("quantize", "tiny", tree="other", walls=(8.0,), peak=90),
        item("--help", "tiny", walls=(0.25,)),
    ]
    copy, this, other, tiny, _, start = results(measured, 4 * 10**9)
    assert copy["of_copy"] == 1 and copy["gbytes_per_s"] == 8 and "memory_bytes" not in copy
    assert (this["least_s"], this["median_s"], this["runs"]) == (1, 2, 3)
    assert (this["of_copy"], this["gbytes_per_s"], this["of_other"]) == (2, 4, 0.25)
    assert (this["memory_bytes"], this["stated_memory_bytes"]) == (640, 640)
    assert (other["memory_bytes"], other["stated_memory_bytes"]) == (810, None)
    assert "of_other" not in other and tiny["of_other"] == 0.25
    assert "gbytes_per_s" not in start and "of_other" not in start


FAKE = """
import json, pathlib, sys
verb, *words = sys.argv[1:]
(pathlib.Path(__file__).parents[1] / "calls").open("a").write(" ".join(sys.argv[1:]) + "\\n")
if verb in ("quantize", "dequantize") and "--help" not in words and "--dry-run" not in words:
    pathlib.Path(words[1]).mkdir()
    pathlib.Path(words[1], "file").write_text("x")
print(json.dumps({"peak_memory_bytes": 7}))
"""


@pytest.fixture
def fake_trees(tmp_path, monkeypatch):
    """Two trees whose verbs take no time and note how they were called."""
    for name in ("a", "b"):
        (tmp_path / name / "amssim").mkdir(parents=True)
        (tmp_path / name / "amssim" / "__init__.py").touch()
        (tmp_path / name / "amssim" / "__main__.py").write_text(FAKE)
    monkeypatch.setattr(Tree, "own", lambda: Tree("this", tmp_path / "a"))
    return tmp_path


def test_all_is_measured_in_turn_and_nothing_is_left(fake_trees):
    lines, work = [], fake_trees / "work"
    work.mkdir()
    record = benchmark_checkpoint(
        work, TINY, shards=2, runs=1, cold=False, against=fake_trees / "b",
        options=["--threads", "1"], progress=lines.append,
    )  # fmt: skip
    assert list(work.iterdir()) == []
    assert lines[0] == "making the checkpoint" and "run 1 of 1: dequantize" in lines
    assert record["checkpoint"]["weights"] == TINY.weight_count
    assert record["options"] == ["--threads", "1"]
    rows = {(r["checkpoint"], r["item"], r["tree"], r["cache"]): r for r in record["results"]}
    for verb in ("quantize", "verify", "verify --source", "dequantize"):
        this, other = (rows["model", verb, tree, "warm"] for tree in ("this", "other"))
        assert this["of_other"] == this["least_s"] / other["least_s"] and this["runs"] == 1
        assert this["stated_memory_bytes"] == 7
    assert rows["tiny", "--help", "this", "warm"]["of_other"] > 0
    calls = [(fake_trees / name / "calls").read_text() for name in ("a", "b")]
    assert calls[0].replace("-this", "-other") == calls[1]
    assert "--threads 1" in calls[0] and "schemes\n" in calls[0]


def test_what_is_read_from_the_disk_is_dropped_before(tmp_path, monkeypatch):
    dropped = []
    monkeypatch.setattr(Tree, "run", lambda *_: Usage(2.0, 1.0, 100, "{}"))
    monkeypatch.setattr(items, "run", lambda *_: Usage(1.0, 1.0, 100, ""))
    monkeypatch.setattr(items, "drop", lambda folder: dropped.append(folder.name))
    monkeypatch.setattr(benchmark, "drop", lambda folder: True)
    record = benchmark_checkpoint(tmp_path, TINY, shards=1, runs=1)
    assert [r["item"] for r in record["results"] if r["cache"] == "cold"] == [
        "cp", "cp, fsync", "quantize", "verify", "verify --source", "dequantize"
    ]  # fmt: skip
    packed = "model-packed-this"
    assert dropped == ["model"] * 3 + [packed] * 3
    warm = benchmark_checkpoint(tmp_path, TINY, shards=1, runs=1, cold=False)
    assert {r["cache"] for r in warm["results"]} == {"warm"} and len(dropped) == 6


CONTINUED = """
import json, pathlib, sys, time
_, source, output, *_ = sys.argv[1:]
folder = pathlib.Path(output).parent / ".amssim-0.partial"
lines = folder / "progress.jsonl"
if lines.exists():
    print(json.dumps({"resumed": {"tasks": len(lines.read_text().split()), "of_tasks": 8}}))
    lines.unlink()
else:
    folder.mkdir(exist_ok=True)
    for number in range(8 if "long" in source else 2):
        with lines.open("a") as file:
            file.write("{}\\n")
        time.sleep(0.1)
"""


def test_a_killed_run_is_continued(tmp_path):
    package = tmp_path / "amssim"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(CONTINUED)
    tree = Tree("this", tmp_path)
    place = items.Workplace(tmp_path / "long", (tree,), ())
    place.output.mkdir(parents=True)
    measured = list(place.continued())
    assert [item.name for item in measured] == [f"quantize, {s}% done" for s in (25, 50, 75)]
    for item in measured:
        item.measure()
    rows = results(measured, 10**9)
    for row, share in zip(rows, items.CONTINUED, strict=True):
        assert share <= row["kept"] <= share + 0.25
    place = items.Workplace(tmp_path / "short", (tree,), ())
    place.output.mkdir(parents=True)
    with pytest.raises(ResourceError, match="killed after 3 tasks ended before"):
        interrupted.begin(tree, ("quantize", "short", place.output), place.output, 3)


def test_a_disk_that_is_too_small(tmp_path):
    with pytest.raises(ResourceError, match="not enough space"):
        benchmark_checkpoint(tmp_path, SyntheticModel.near(1e17))
    assert list(tmp_path.iterdir()) == []
