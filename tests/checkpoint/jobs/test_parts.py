"""A checkpoint made in parts: the same bytes for any split, and what is missing is named."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import MismatchError, OutputError, SchemeError
from amssim.checkpoint import finish_checkpoint, quantize_checkpoint
from amssim.checkpoint.jobs.groups import group_tasks, part_of_tasks
from amssim.checkpoint.jobs.parts import JobPart
from amssim.checkpoint.jobs.tasks import Task
from amssim.checkpoint.safetensors.staging import Staging
from checkpoint.builders import contents, make_model, weights, write_tensors


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("parts") / "model")


@pytest.fixture(scope="module")
def expected(model):
    quantize_checkpoint(model, model.parent / "whole", "fp4.25")
    return contents(model.parent / "whole")


def do(model, out, *parts, **options):
    for part in parts:
        quantize_checkpoint(model, out, "fp4.25", part=part, **options)


# --- which tasks are whose --------------------------------------------------------------------

TASKS = st.lists(st.integers(1, 200), min_size=1, max_size=12).map(
    lambda shards: [
        Task(n, shard, "w", 0, 1)
        for n, shard in enumerate(shard for shard, count in enumerate(shards) for _ in range(count))
    ]
)


@given(TASKS, st.integers(1, 64), st.integers(1, 8))
def test_groups_hold_every_task_once_and_each_is_of_one_shard(tasks, threads, machines):
    groups = group_tasks(tasks, threads, machines)
    assert [task for group in groups for task in group] == tasks
    assert all(len({task.shard for task in group}) == 1 for group in groups)


@given(TASKS, st.integers(1, 40))
def test_parts_hold_every_task_once(tasks, parts):
    found = [t for number in range(1, parts + 1) for t in part_of_tasks(tasks, number, parts)]
    assert sorted(found) == tasks


def test_several_machines_get_whole_shards_where_there_are_enough():
    tasks = [Task(n, n // 10, "w", 0, 1) for n in range(80)]
    assert [len(group) for group in group_tasks(tasks, threads=8, machines=4)] == [10] * 8
    assert len(group_tasks(tasks, threads=8, machines=5)) > 8
    assert len(group_tasks(tasks, threads=8, machines=1)) > 8


# --- the same bytes ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 7])
def test_any_split_gives_the_same_bytes(model, expected, tmp_path, count):
    out = tmp_path / "out"
    do(model, out, *(f"{number}/{count}" for number in range(count, 0, -1)))
    assert not out.exists()
    finish_checkpoint(out)
    assert contents(out) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_single_file(tmp_path):
    src = write_tensors(tmp_path / "a.safetensors", {f"{i}.weight": weights(9, 40) for i in "ab"})
    quantize_checkpoint(src, tmp_path / "whole.safetensors")
    out = tmp_path / "b.safetensors"
    for part in ("1/2", "2/2"):
        quantize_checkpoint(src, out, part=part)
    finish_checkpoint(out)
    assert out.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_parts_that_replace_a_directory_say_so_to_the_end(model, expected, tmp_path):
    out = tmp_path / "out"
    quantize_checkpoint(model, out, "fp6-e2m3")
    do(model, out, "1/2", "2/2", overwrite=True)
    assert contents_of_files(out) != expected
    finish_checkpoint(out)
    assert contents(out) == expected


def contents_of_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_part_that_was_killed_continues(model, expected, tmp_path):
    out = tmp_path / "out"
    code = (
        "import os, sys; from amssim.checkpoint import quantize_checkpoint as q\n"
        "q(sys.argv[1], sys.argv[2], 'fp4.25', part='1/2', threads=1,"
        " progress=lambda *_: os.kill(os.getpid(), 9))"
    )
    killed = subprocess.run([sys.executable, "-c", code, model, out], capture_output=True)
    assert killed.returncode == -9, killed.stderr
    told = []
    do(model, out, "2/2")
    with pytest.raises(OutputError, match=r"tasks are missing: give .* again with --part 1/2\n"):
        finish_checkpoint(out)
    do(model, out, "1/2", tell=told.append)
    finish_checkpoint(out)
    assert contents(out) == expected
    assert len(told) == 1 and "of part 1/2 are there" in told[0]


def test_the_command_without_part_does_what_is_missing(model, expected, tmp_path):
    do(model, tmp_path / "out", "2/3")
    job = quantize_checkpoint(model, tmp_path / "out", "fp4.25")
    assert job.resumed and contents(tmp_path / "out") == expected


def test_progress_is_that_of_the_part(model, tmp_path):
    seen = []
    for part in ("1/2", "2/2"):
        do(model, tmp_path / "out", part, progress=lambda *state: seen.append(state))
        assert seen[-1][0] == seen[-1][1]
    assert sum({total for _, total, _ in seen}) == sum(
        tensor.weight_count for tensor in dequantized_sizes(model)
    )


def dequantized_sizes(model):
    from amssim.checkpoint import plan_quantize

    return plan_quantize(model).summary.tensors


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1/2 ", "٣/٤", 1, b"1/2"]
)
def test_parts_that_are_none(model, tmp_path, text):
    with pytest.raises(SchemeError, match=r"part must read I/N, such as 1/8 to 8/8, found "):
        do(model, tmp_path / "out", text)
    assert list(tmp_path.iterdir()) == []


def test_a_part_and_workers(model, tmp_path):
    with pytest.raises(SchemeError, match="a part is done by one process"):
        do(model, tmp_path / "out", "1/2", workers=2)


def test_finish_names_the_parts_that_are_missing(model, tmp_path):
    do(model, tmp_path / "out", "2/4")
    with pytest.raises(OutputError, match=r"missing: .* --part 1/4, 3/4, 4/4\n") as refused:
        finish_checkpoint(tmp_path / "out")
    assert refused.value.__notes__[0].endswith(".partial")  # not that this command continues it
    assert not (tmp_path / "out").exists()


def test_finish_of_nothing(model, expected, tmp_path):
    absent, there = tmp_path / "absent", model.parent / "whole"
    for out, advice in (absent, "begin with"), (there, "it is there"):
        with pytest.raises(OutputError, match=rf"nothing is unfinished for {out}: {advice}"):
            finish_checkpoint(out)


def test_a_part_of_another_run(model, tmp_path):
    do(model, tmp_path / "out", "1/2")
    with pytest.raises(OutputError, match=r"options\.scheme \(fp4\.25-e2m2, now fp6-e2m3\)"):
        quantize_checkpoint(model, tmp_path / "out", "fp6-e2m3", part="2/2")


def test_parts_of_another_number(model, tmp_path):
    do(model, tmp_path / "out", "1/2")
    with pytest.raises(
        OutputError, match=r"work done in 2 parts, not 3: give --part I/2, or the"
    ) as refused:
        do(model, tmp_path / "out", "2/3")
    assert refused.value.__notes__[0].endswith(".partial")


def test_a_source_that_changed_before_the_end(tmp_path):
    model = make_model(tmp_path / "model")
    do(model, tmp_path / "out", "1/1")
    (model / "config.json").write_text('{"model_type": "other"}')
    with pytest.raises(MismatchError, match=r"begun for another job than now: source\.config"):
        finish_checkpoint(tmp_path / "out")


def test_a_run_without_parts_differs_by_nothing_but_its_source(tmp_path):
    model = make_model(tmp_path / "model")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize_checkpoint(model, tmp_path / "out", threads=1, progress=stop)
    (model / "config.json").write_text('{"model_type": "other"}')
    with pytest.raises(MismatchError, match=r"now: source\.config\.json \([^()]*\): begin anew"):
        finish_checkpoint(tmp_path / "out")


def test_a_part_twice_at_once(model, expected, tmp_path):
    out, refused = tmp_path / "out", []

    def again(*_):
        if not refused:
            refused.append(None)
            with pytest.raises(OutputError, match=r"another process writes .*progress-1-of-2"):
                do(model, out, "1/2")

    do(model, out, "1/2", progress=again, threads=1)
    assert refused


def test_finish_while_a_part_is_at_work(model, tmp_path):
    out, refused = tmp_path / "out", []

    def finish(*_):
        with pytest.raises(OutputError, match=f"another amssim is writing to {out}"):
            finish_checkpoint(out)
        refused.append(None)

    do(model, out, "1/1", progress=finish, threads=1)
    assert refused


def test_only_the_end_publishes(model, tmp_path):
    from amssim.checkpoint import plan_quantize
    from amssim.checkpoint.jobs.execute import target_of

    job = plan_quantize(model)
    target = target_of(job, tmp_path / "out", overwrite=False)
    with (
        pytest.raises(OutputError, match="a part of a run does not publish"),
        Staging.open(target, job.record, part=JobPart(1, 2).name) as staging,
    ):
        staging.publish()
