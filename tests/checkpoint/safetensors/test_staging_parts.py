"""Several processes at one output: parts that share it, workers that join it, rivals."""

import os
import subprocess
import sys
import threading
import time

import pytest

from amssim import OutputError
from amssim.checkpoint.safetensors.staged_files import StagedFiles
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.target import Target
from checkpoint.builders import contents

RUN, OTHER = {"run": "1" * 32, "threads": "1"}, {"run": "2" * 32, "threads": "2"}
NAMES = ("a", "b")


@pytest.fixture
def target(tmp_path):
    return Target(tmp_path / "out", NAMES, False)


def test_parts_share_a_folder_and_the_last_step_has_it_alone(target, tmp_path):
    with Staging.open(target, RUN, part="1") as one, Staging.open(target, RUN, part="2") as two:
        one.write("a", [b"1"])
        one.append({"task": "a"})
        two.write("b", [b"2"])
        two.append({"task": "b"})
        assert sorted(line["task"] for line in one.read_progress()) == ["a", "b"]
        with pytest.raises(OutputError, match="another amssim is writing to"):
            Staging.open(target, RUN)
        with pytest.raises(OutputError, match="a part of a run does not publish"):
            one.publish()
        two.discard()  # what others share stays
    with Staging.open(target, RUN) as last:
        assert last.resumed and last.names() == ["a", "b"]
        last.publish()
    assert contents(tmp_path / "out") == {"a": b"1", "b": b"2"}


def test_the_same_part_twice(target):
    with Staging.open(target, RUN, part="1") as one, Staging.open(target, RUN, part="1") as two:
        one.append({"task": 1})
        with pytest.raises(OutputError, match="give each process a part of its own"):
            two.append({"task": 1})


def test_two_parts_make_one_file(target):
    with Staging.open(target, RUN, part="1") as one, Staging.open(target, RUN, part="2") as two:
        first, second = one.create("a", 4), two.create("a", 4)
        os.pwrite(first, b"12", 0)
        os.pwrite(second, b"34", 2)
        assert os.pread(first, 9, 0) == b"1234"
        os.close(first)
        os.close(second)


def test_a_part_of_another_run(target):
    with Staging.open(target, RUN, part="1") as one:
        one.append({"task": 1})
    for restart in (False, True):
        with Staging.open(target, RUN, part="2", restart=restart) as same:
            assert same.resumed
    with pytest.raises(OutputError, match=r"threads \(1, now 2\)"):
        Staging.open(target, OTHER, part="2")
    with Staging.open(target, OTHER, part="2", restart=True) as other:
        assert not other.resumed


def test_parts_that_begin_at_once(target):
    faults = []

    def part(name):
        try:
            with Staging.open(target, RUN, part=name) as staging:
                staging.append({"task": name})
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=part, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    with Staging.open(target, RUN) as last:
        assert len(last.read_progress()) == 8
        last.discard()


def test_workers_join(target):
    with Staging.open(target, RUN) as staging:
        with StagedFiles.join(staging.path, RUN["run"]) as worker:
            worker.write("a", [b"1"])
        with pytest.raises(OutputError, match="is not the staging folder of run 2222"):
            StagedFiles.join(staging.path, OTHER["run"])
        with pytest.raises(OutputError, match="cannot be written: No such file"):
            StagedFiles.join(target.path / "x", RUN["run"])
        assert staging.names() == ["a"]


RIVAL = """
import sys, time
from pathlib import Path
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.target import Target
from amssim.errors import OutputError
out, me = Path(sys.argv[1]), sys.argv[2]
while time.time() < float(sys.argv[3]): pass
try:
    target = Target(out, ("a", "b"), True, in_place=out.is_dir())
    with Staging.open(target, {"run": me}) as staging:
        for name in target.names:
            staging.write(name, [me.encode() * 1000])
            time.sleep(0.01)
        staging.publish()
except OutputError as error:
    print(error)
    raise SystemExit(4)
"""


@pytest.mark.parametrize(("there", "writers"), [(False, 6), (True, 2)])
def test_42_two_and_six_writers(tmp_path, there, writers):
    out = tmp_path / "out"
    if there:
        out.mkdir()
        (out / "notes").write_bytes(b"mine")
    start = str(time.time() + 1.0)
    rivals = [
        subprocess.Popen([sys.executable, "-c", RIVAL, out, str(n), start], stdout=subprocess.PIPE)
        for n in range(writers)
    ]
    said = [rival.communicate()[0].decode() for rival in rivals]
    codes = [rival.returncode for rival in rivals]
    assert set(codes) <= {0, 4} and 0 in codes, said
    sentences = ("another amssim", "has appeared meanwhile", "again and again", "")
    assert all(any(s in text for s in sentences) for text in said)
    found = contents(out)
    assert found.pop("notes", None) == (b"mine" if there else None)
    (winner,) = set(found.values())
    assert found.keys() == {"a", "b"} and codes[int(winner[:1])] == 0 and len(winner) == 1000
    assert list(tmp_path.iterdir()) == [out]
