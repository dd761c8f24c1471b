"""A run that is killed at any moment is continued: the same bytes, and little is done twice."""

import json
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from amssim import OutputError
from amssim.checkpoint import dequantize_checkpoint, quantize_checkpoint
from amssim.checkpoint.jobs import engine, pieces
from amssim.checkpoint.safetensors.progress_lines import encode_line
from checkpoint.builders import contents, make_model, weights

RUNS = int(os.environ.get("AMSSIM_KILLS", "12"))
THREADS = 2


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "model"
    layers = {f"model.layers.{i}.mlp.up_proj.weight": weights(70, 24, seed=i) for i in range(8)}
    embedding = {"model.embed_tokens.weight": weights(64, 24)}
    shards = {
        "model-00001-of-00002.safetensors": layers,
        "model-00002-of-00002.safetensors": embedding
        | {name.replace("up", "down"): array for name, array in layers.items()},
    }
    return make_model(folder, shards)


@pytest.fixture(scope="module")
def expected(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("expected") / "out"
    quantize_checkpoint(model, out)
    return contents(out)


class Child:
    """A process that runs a job in little tasks, and logs the number of each as it begins."""

    def __init__(self, job, log: Path):
        self.log = log
        self.pid = os.fork()
        if not self.pid:
            code = 1
            try:
                with little_tasks(log):
                    job()
                code = 0
            finally:
                os._exit(code)

    def begun(self) -> list[str]:
        return self.log.read_text().split("\n")[:-1] if self.log.exists() else []

    def kill(self, tasks: int, pause: float, by: int = signal.SIGKILL) -> None:
        """Kill it once it has begun so many tasks, or is done, and some time more."""
        while len(self.begun()) < tasks and not os.waitid(
            os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT
        ):
            time.sleep(0.001)
        time.sleep(pause)
        os.kill(self.pid, by)
        os.waitpid(self.pid, 0)


def little_tasks(log: Path | None = None):
    patch = pytest.MonkeyPatch()
    patch.setattr(pieces, "TASK_ELEMENTS", 600)
    patch.setattr(pieces, "TASK_BYTES", 700)
    if log:
        file, do_task = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), engine.do_task

        def logged(shard, task, *others):
            os.write(file, f"{task.number}\n".encode())
            time.sleep(0.001)
            return do_task(shard, task, *others)

        patch.setattr(engine, "do_task", logged)
    return Undone(patch)


class Undone:
    """A context that undoes patches."""

    def __init__(self, patch):
        self.patch = patch

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.patch.undo()


def staging_of(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name.startswith(".amssim")]


def test_killed_at_random_points(model, expected, tmp_path):
    chance, cut = random.Random(1), 0
    for number in range(RUNS):
        out, log, kills, begun = tmp_path / f"out{number}", tmp_path / f"log{number}", 0, 0
        while kills < 3 and not out.exists():
            child = Child(lambda out=out: quantize_checkpoint(model, out, threads=THREADS), log)
            begun += chance.randrange(25)
            child.kill(begun, chance.uniform(0, 0.003))
            kills += 1
        told: list[str] = []
        cut += not out.exists()
        if not out.exists() or staging_of(tmp_path):  # killed before the staging folder was gone
            kept = bool(staging_of(tmp_path))
            with little_tasks(log):
                job = quantize_checkpoint(model, out, threads=THREADS, tell=told.append)
            assert kept or not job.resumed
            assert told == ([f"continuing: {job.resumed}"] if job.resumed else [])
        assert contents(out) == expected
        assert not staging_of(tmp_path)
        numbers = log.read_text().split()
        assert len(numbers) - len(set(numbers)) <= kills * THREADS
    assert cut >= RUNS // 2  # most runs are cut off indeed


def test_dequantizing_continues_as_well(model, tmp_path):
    quantize_checkpoint(model, tmp_path / "packed")
    dequantize_checkpoint(tmp_path / "packed", tmp_path / "whole")
    out, log = tmp_path / "out", tmp_path / "log"
    Child(lambda: dequantize_checkpoint(tmp_path / "packed", out, threads=2), log).kill(20, 0)
    with little_tasks():
        job = dequantize_checkpoint(tmp_path / "packed", out)
    assert job.resumed and 10 <= job.resumed.tasks < job.resumed.of_tasks
    assert contents(out) == contents(tmp_path / "whole")


def test_what_was_torn_or_changed_is_done_again(model, expected, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    Child(lambda: quantize_checkpoint(model, out, threads=1), log).kill(12, 0.001)
    (folder,) = staging_of(tmp_path)
    progress, shard = folder / "progress.jsonl", folder / "files" / next(iter(expected))
    lines = progress.read_text().splitlines(keepends=True)
    progress.write_text("".join(lines[:-1]) + lines[-1][:9])  # torn
    first = json.loads(lines[0])["line"]
    shard = folder / "files" / "model-00001-of-00002.safetensors"
    raw = bytearray(shard.read_bytes())
    written = [at for at in range(len(raw)) if raw[at]]  # no header yet: what tasks wrote
    raw[written[0]] ^= 1
    shard.write_bytes(raw)
    told: list[str] = []
    with little_tasks():
        job = quantize_checkpoint(model, out, tell=told.append)
    assert first["number"] == 0 and job.resumed.tasks == len(lines) - 2
    assert told == [f"continuing: {job.resumed}"]
    assert contents(out) == expected


def test_a_line_of_no_task_is_passed_over(model, expected, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    Child(lambda: quantize_checkpoint(model, out, threads=1), log).kill(6, 0.001)
    (folder,) = staging_of(tmp_path)
    progress = folder / "progress.jsonl"
    count = len(progress.read_text().splitlines())
    odd = [{}, {"number": 10**6, "crcs": [], "source_crcs": []}, {"number": "0"}]
    odd += [{"number": -1, "crcs": [1, 2], "source_crcs": []}, {"number": 0, "crcs": 5}]
    with progress.open("ab") as file:
        file.writelines(encode_line(line) for line in odd)
    with little_tasks():
        assert quantize_checkpoint(model, out).resumed.tasks == count
    assert contents(out) == expected


def test_another_job_is_refused_with_the_differences_unless_restarted(model, expected, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    Child(lambda: quantize_checkpoint(model, out, "fp4.25"), log).kill(12, 0.001)
    with pytest.raises(OutputError, match=r"options\.scheme \(fp4\.25-e2m2, now fp5\.33-e2m3\)"):
        quantize_checkpoint(model, out)
    assert staging_of(tmp_path)
    assert quantize_checkpoint(model, out, restart=True).resumed is None
    assert contents(out) == expected


def test_a_source_of_another_time_is_refused(model, tmp_path):
    own = tmp_path / "model"
    shutil.copytree(model, own)
    out, log = tmp_path / "out", tmp_path / "log"
    Child(lambda: quantize_checkpoint(own, out), log).kill(12, 0.001)
    os.utime(own / "model-00002-of-00002.safetensors", ns=(5, 5))
    with pytest.raises(OutputError, match=r"sizes_and_times\.model-00002"):
        quantize_checkpoint(own, out)


def test_an_interrupt_keeps_what_is_finished_and_says_so(model, expected, tmp_path):
    out, seen = tmp_path / "out", []

    def interrupt(done, total, name):
        seen.append(name)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with little_tasks(), pytest.raises(KeyboardInterrupt) as raised:
        quantize_checkpoint(model, out, progress=interrupt)
    assert re.search(r"\d+ finished tasks are kept in .*: the same", raised.value.__notes__[0])
    with little_tasks():
        assert quantize_checkpoint(model, out).resumed.tasks >= 5
    assert contents(out) == expected
