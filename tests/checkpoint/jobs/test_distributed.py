"""Dask as the engine: a scheduler and workers started as a person does, and processes of one's own.

The bytes are those of one process, whoever dies, and every failure is one sentence.
"""

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from amssim import (
    InputError,
    ResourceError,
    SchemeError,
    UnsupportedError,
)
from amssim.checkpoint import dequantize_checkpoint, quantize_checkpoint
from amssim.checkpoint.jobs import distributed as dask_engine
from checkpoint.builders import contents, make_model, weights, write_tensors
from checkpoint.jobs.dask_processes import ROOT, scheduler

distributed = pytest.importorskip("distributed", reason="the extra distributed is not installed")

# Threads of an event loop that end a moment after a test; sockets that it was still closing.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("dask")


@pytest.fixture(scope="module")
def cluster(home):
    """A scheduler with two worker processes, and a client that asks it who they are."""
    folder = home / "elsewhere"
    folder.mkdir()
    with scheduler(folder) as made:
        made.add_workers(2)
        with distributed.Client(made.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            made.pids = lambda: client.run(os.getpid)
            made.wait_for = lambda count: client.wait_for_workers(count, timeout=60)
            yield made


def many_tensors(count: int) -> dict[str, dict[str, np.ndarray]]:
    """Three shards of so many matrices each, and a row in the middle that a test may spoil."""
    return {
        f"model-{shard}-of-00003.safetensors": {
            f"layers.{shard}.{i}.weight": weights(64, 96, seed=100 * shard + i)
            for i in range(count)
        }
        for shard in range(3)
    }


@pytest.fixture(scope="module")
def model(home):
    return make_model(home / "model", many_tensors(30))


@pytest.fixture(scope="module")
def expected(home, model):
    quantize_checkpoint(model, home / "whole", "fp4.25")
    return contents(home / "whole")


def once(action):
    """What `progress` may be: it does something after the third task."""
    calls = []

    def progress(*_):
        calls.append(None)
        if len(calls) == 3:
            action()

    return progress


def amssim(*words) -> subprocess.CompletedProcess:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "amssim", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


# --- a scheduler ------------------------------------------------------------------------------


def test_two_workers_give_the_bytes_of_one_process(cluster, model, expected, tmp_path):
    seen = []
    quantize_checkpoint(
        model, tmp_path / "out", "fp4.25", workers=cluster.address,
        progress=lambda *state: seen.append(state),
    )  # fmt: skip
    assert contents(tmp_path / "out") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    done = [done for done, _, _ in seen]
    assert done == sorted(done) and seen[-1][0] == seen[-1][1]


def test_the_command_line_is_silent_but_for_its_result(cluster, model, expected, tmp_path):
    out = tmp_path / "out"
    options = ("--scheme", "fp4.25", "--no-card", "--scheduler", cluster.address)
    done = amssim("quantize", model, out, *options)
    assert (done.returncode, done.stderr) == (0, "") and "wrote" in done.stdout
    assert contents(tmp_path / "out") == expected


def test_dequantizing_and_a_single_file(cluster, home, expected, tmp_path):
    dequantize_checkpoint(home / "whole", tmp_path / "one")
    dequantize_checkpoint(home / "whole", tmp_path / "many", workers=cluster.address)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    src = write_tensors(tmp_path / "a.safetensors", {"x.weight": weights(20, 40)})
    quantize_checkpoint(src, tmp_path / "b.safetensors")
    quantize_checkpoint(src, tmp_path / "c.safetensors", workers=cluster.address)
    one, many = ((tmp_path / f"{n}.safetensors").read_bytes() for n in "bc")
    assert one == many


def test_nan_is_the_sentence_of_one_process(cluster, home, tmp_path):
    shards = many_tensors(8)
    shards["model-1-of-00003.safetensors"]["layers.1.4.weight"][40, 7] = np.nan
    shards["model-2-of-00003.safetensors"]["layers.2.0.weight"][1, 2] = np.inf
    model = make_model(tmp_path / "model", shards)
    sentences = set()
    for options in ({}, {"workers": cluster.address}):
        with pytest.raises(InputError, match=r"holds 1 NaN or Inf, the first at \[\d+, \d\]") as no:
            quantize_checkpoint(model, tmp_path / "out", threads=1, **options)
        sentences.add(str(no.value))
    assert len(sentences) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    done = amssim("quantize", model, tmp_path / "out", "--scheduler", cluster.address)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"amssim: error: {sentences.pop()}\n"


def test_an_interrupted_run_continues_in_one_process(cluster, model, expected, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as ended:
        quantize_checkpoint(
            model, tmp_path / "out", "fp4.25", workers=cluster.address, progress=once(interrupt)
        )
    assert "finished tasks are kept in" in ended.value.__notes__[0]
    (folder,) = tmp_path.iterdir()
    assert not [path.name for path in folder.iterdir() if path.name.startswith("waiting-")]
    job = quantize_checkpoint(model, tmp_path / "out", "fp4.25")
    assert job.resumed.tasks >= 3 and contents(tmp_path / "out") == expected


def test_only_finishing_is_left(cluster, model, expected, tmp_path):
    """All tasks are done, no file is finished: each is read back as itself."""
    for part in ("1/2", "2/2"):
        quantize_checkpoint(model, tmp_path / "out", "fp4.25", part=part)
    job = quantize_checkpoint(model, tmp_path / "out", "fp4.25", workers=cluster.address)
    assert job.resumed.tasks == job.resumed.of_tasks and contents(tmp_path / "out") == expected


def test_four_workers_of_which_one_is_killed(cluster, model, expected, tmp_path):
    cluster.add_workers(2)
    cluster.wait_for(4)
    victim = next(iter(cluster.pids().values()))
    quantize_checkpoint(
        model, tmp_path / "out", "fp4.25", workers=cluster.address,
        progress=once(lambda: os.kill(victim, signal.SIGKILL)),
    )  # fmt: skip
    assert contents(tmp_path / "out") == expected
    assert victim not in cluster.pids().values()


def test_a_worker_with_another_amssim(cluster, model, expected, tmp_path):
    """It comes while the work goes on, and neither leaves nor hides what is wrong with it."""
    other = tmp_path / "other" / "amssim"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("__version__ = '0.0.1'\n")
    before = len(cluster.pids())
    process = cluster.add_workers(1, "--no-nanny", path=other.parent)
    try:
        cluster.wait_for(before + 1)
        with pytest.raises(UnsupportedError, match=r"a worker has no amssim .*No module named 'am"):
            quantize_checkpoint(model, tmp_path / "out", "fp4.25", workers=cluster.address)
        assert process.poll() is None
    finally:
        process.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


# --- processes of this machine ----------------------------------------------------------------


def test_local_workers_give_the_same_bytes_and_leave_nothing(model, expected, tmp_path, capfd):
    environment = dict(os.environ)
    quantize_checkpoint(model, tmp_path / "out", "fp4.25", workers=2, threads=3)
    assert contents(tmp_path / "out") == expected
    assert dict(os.environ) == environment
    assert capfd.readouterr() == ("", "")


def test_local_workers_that_all_die(model, expected, tmp_path, monkeypatch):
    from amssim.checkpoint.jobs import local_workers

    started = []
    start = subprocess.Popen

    def remember(*arguments, **options):
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(local_workers.subprocess, "Popen", remember)
    kill = once(lambda: [process.kill() for process in started])
    with pytest.raises(ResourceError, match=r"all 2 worker processes have ended \(the last: exit"):
        quantize_checkpoint(model, tmp_path / "out", "fp4.25", workers=2, progress=kill)
    job = quantize_checkpoint(model, tmp_path / "out", "fp4.25")
    assert job.resumed and contents(tmp_path / "out") == expected


# --- clusters that cannot be used -------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"workers": 0}, "a positive whole number, or a scheduler's address, found 0"),
        ({"workers": True}, "or a scheduler's address, found True"),
        ({"workers": 2.5}, "a positive whole number, or a scheduler's address, found 2.5"),
        ({"workers": "10.0.0.1:8786"}, r"an address such as tcp://10\.0\.0\.1:8786, found '10"),
        ({"workers": "tcp://10.0.0.1"}, "scheduler must be an address"),
        ({"workers": "http://10.0.0.1:80"}, "scheduler must be an address"),
        ({"workers": "tcp://10.0.0.1:port"}, "scheduler must be an address"),
        ({"workers": "tcp://10.0.0.1:99999"}, "scheduler must be an address"),
        ({"workers": "tcp://[::1:80"}, "scheduler must be an address"),
        ({"workers": ""}, "scheduler must be an address"),
    ],
)
def test_workers_that_cannot_be(model, tmp_path, options, sentence):
    with pytest.raises(SchemeError, match=sentence):
        quantize_checkpoint(model, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_without_dask(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ResourceError, match=r"python -m pip install 'amssim\[distributed\]'"):
        quantize_checkpoint(model, tmp_path / "out", workers=2)


def test_no_scheduler(model, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(ResourceError, match=f"no scheduler answers at {address} .*refused"):
        quantize_checkpoint(model, tmp_path / "out", workers=address)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_no_scheduler(model, tmp_path, monkeypatch):
    monkeypatch.setattr("amssim.checkpoint.jobs.dask_client._REACH_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ResourceError, match=f"what listens at {address} is no Dask scheduler"):
            quantize_checkpoint(model, tmp_path / "out", workers=address)
        assert time.monotonic() - began < 10


def test_a_scheduler_without_workers(model, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_engine, "_ABSENT_SECONDS", 0.3)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as empty,
        pytest.raises(ResourceError, match=r"no workers for .* 'dask worker tcp://127\.0\.0\.1"),
    ):
        quantize_checkpoint(model, tmp_path / "out", workers=empty.scheduler_address)
    assert list(tmp_path.iterdir()) == []
