"""A run that is killed at any call to the system: no reader is misled, nothing foreign is touched,
and the same command, or another, ends with the right bytes.

`kills.py` holds the runs. ``AMSSIM_KILLS=all`` tries all points, not some.
"""

import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from checkpoint.safetensors.kills import SCENARIOS, Scenario, run_again

PROGRAM = Path(__file__).with_name("kills.py")
ALL = os.environ.get("AMSSIM_KILLS") == "all"
#: System calls by which staging changes a disk.
TRACED = ("mkdirat", "renameat", "linkat", "unlinkat", "fsync", "flock", "ftruncate", "pwrite64")


@pytest.fixture
def fast_folder(tmp_path):
    """A folder in memory, where waiting for the disk costs nothing, if there is one."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    folder = memory / f"amssim-{os.getpid()}-{tmp_path.name}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_killed_at_calls_of_python(fast_folder):
    step = "1" if ALL else "13"
    done = subprocess.run(
        [sys.executable, PROGRAM, fast_folder, step], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    points = json.loads(done.stdout)
    assert set(points) == set(SCENARIOS) and min(points.values()) > 80


def killed_at(call: str, at: int, scenario: Scenario) -> bool:
    """Whether a run made the system call number ``at`` of a kind, at which it is killed."""
    kill = ["strace", "-f", "-qq", "-o", "/dev/null", f"--inject={call}:signal=KILL:when={at}"]
    once = [sys.executable, PROGRAM, "--once", scenario.name, scenario.folder]
    done = subprocess.run([*kill, *once], capture_output=True, text=True)
    if "ptrace" in done.stderr.lower():
        pytest.skip("this system does not let strace work")
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


@pytest.mark.skipif(not shutil.which("strace"), reason="kills by strace")
def test_killed_at_calls_of_the_system(fast_folder):
    points = 0
    for number, (call, name) in enumerate(product(TRACED, ("new", "in place"))):
        scenario = Scenario(name, fast_folder / "x")
        for at in range(1, 1000) if ALL else [1 + number % 3] * (number % 3 == 1):
            scenario.prepare()
            if not killed_at(call, at, scenario):
                break
            points += 1
            scenario.check_reader(scenario.old, scenario.new())
            run_again(scenario)
            scenario.check_clean(scenario.new())
    print(f"{points} points")
    assert points > 2
