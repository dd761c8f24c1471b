"""Output that appears whole or not at all: errors, interrupts, full disks, two writers."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading

import pytest

from amssim import InputError, OutputError, ResourceError
from amssim.checkpoint.safetensors.output_errors import output_errors
from amssim.checkpoint.safetensors.space import check_space
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.target import Target
from checkpoint.builders import contents

RUN = {"run": "1" * 32, "options": {"scheme": "fp4.25"}}
OTHER = {"run": "2" * 32, "options": {"scheme": "fp6"}}


def target_of(dst, names, overwrite=False):
    return Target(dst, tuple(names), overwrite, in_place=dst.is_dir())


def staged(dst, files, overwrite=False, record=RUN):
    with Staging.open(target_of(dst, files, overwrite), record) as staging:
        for name, content in files.items():
            staging.write(name, [content])
        staging.publish()


def test_files_appear_together_under_their_names(tmp_path):
    staged(tmp_path / "new" / "out", {"a": b"1", "b": b"2"})
    assert contents(tmp_path / "new" / "out") == {"a": b"1", "b": b"2"}
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, InputError])
def test_40_an_error_leaves_what_was_there(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(error), Staging.open(target_of(tmp_path, ["a"], True), RUN) as staging:
        staging.write("a", [b"new"])
        raise error
    assert contents(tmp_path) == {"a": b"old"}


def test_40_an_error_removes_directories_that_were_made(tmp_path):
    with (
        pytest.raises(ValueError),
        Staging.open(target_of(tmp_path / "x" / "y" / "out", ["a"]), RUN) as staging,
    ):
        staging.write("a", [b"new"])
        raise ValueError
    assert contents(tmp_path) == {}


def test_47_what_is_finished_is_kept_and_continued(tmp_path):
    target = target_of(tmp_path / "out", ["a", "b"])
    with pytest.raises(KeyboardInterrupt) as stopped, Staging.open(target, RUN) as staging:
        assert not staging.resumed
        staging.write("a", [b"1"])
        staging.append({"task": "a"})
        raise KeyboardInterrupt
    assert stopped.value.__notes__ == [
        f"1 finished task is kept in {staging.path}: the same command continues"
    ]
    with Staging.open(target, RUN) as staging:
        assert staging.resumed and staging.read_progress() == [{"task": "a"}]
        assert staging.names() == ["a"]
        staging.write("b", [b"2"])
        staging.publish()
    assert contents(tmp_path / "out") == {"a": b"1", "b": b"2"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_47_another_run_is_refused_with_the_differences(tmp_path):
    target = target_of(tmp_path / "out", ["a"])
    with Staging.open(target, RUN) as staging:
        staging.append({"task": "a"})
    with pytest.raises(OutputError, match=r"options\.scheme \(fp4\.25, now fp6\)"):
        Staging.open(target, OTHER)
    with Staging.open(target, OTHER, restart=True) as staging:
        assert not staging.resumed and staging.names() == []
    assert list(tmp_path.iterdir()) == []


def test_42_two_writers(tmp_path):
    target = target_of(tmp_path / "out", ["a"])
    with Staging.open(target, RUN) as first:
        first.write("a", [b"1"])
        with pytest.raises(OutputError, match="another amssim is writing to"):
            Staging.open(target, RUN)
        staged(tmp_path / "x", {"x": b"other output"})
        first.publish()
    assert contents(tmp_path / "out") == {"a": b"1"}


def test_a_name_that_was_taken_meanwhile(tmp_path):
    with (
        pytest.raises(OutputError, match="b has appeared meanwhile"),
        Staging.open(target_of(tmp_path, ["a", "b"]), RUN) as staging,
    ):
        staging.write("a", [b"1"])
        staging.write("b", [b"1"])
        (tmp_path / "b").write_bytes(b"other")
        staging.publish()
    assert contents(tmp_path) == {"b": b"other"}


def test_a_link_is_replaced_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    staged(tmp_path / "out", {"a": b"new"}, overwrite=True)
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
    assert contents(tmp_path / "out") == {"a": b"new"}


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_45_the_mode_is_that_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        staged(tmp_path / "out", {"a": b"1"})
    finally:
        os.umask(before)
    assert (tmp_path / "out" / "a").stat().st_mode & 0o777 == 0o666 & ~mask
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o777 & ~mask


def test_41_the_disk_is_full(tmp_path):
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        with pytest.raises(ResourceError, match="x cannot be written: "), output_errors("x"):
            raise OSError(number, os.strerror(number))
    with pytest.raises(OutputError, match="x cannot be written: No"), output_errors("x"):
        raise PermissionError(errno.EACCES, "No")


def test_41_a_real_limit_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ResourceError, match="File too large"):
            staged(tmp_path / "out", {"a": b"1", "b": bytes(2000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert contents(tmp_path) == {}


def test_41_space_is_checked_first(tmp_path):
    with pytest.raises(ResourceError, match="not enough space: 1000000000000000000 bytes"):
        check_space(tmp_path / "not" / "yet", 10**18)
    check_space(tmp_path / "not" / "yet", 1)


def test_40_a_killed_writer_leaves_no_final_name_and_the_next_one_clears_up(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from amssim.checkpoint.safetensors.staging import Staging\n"
        "from amssim.checkpoint.safetensors.target import Target\n"
        "with Staging.open(Target(Path(sys.argv[1]), ('a',), False), {'run': '0'}) as staging:\n"
        "    staging.write('a', [b'half'])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "out"])
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1 and not (tmp_path / "out").exists()
    staged(tmp_path / "out", {"b": b"1"})
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("finished", [False, True])
def test_40_a_signal_while_a_folder_is_opened(tmp_path, monkeypatch, finished):
    target = target_of(tmp_path / "new" / "out", ["a"])
    if finished:
        with Staging.open(target, RUN) as staging:
            staging.append({"task": "a"})
    monkeypatch.setattr(Target, "check", lambda self: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt) as stopped:
        Staging.open(target, RUN)
    kept = "1 finished task is kept" if finished else "no unfinished file is left"
    assert stopped.value.__notes__[0].startswith(kept)
    assert [p.name for p in tmp_path.iterdir()] == (["new"] if finished else [])
    monkeypatch.undo()
    with Staging.open(target, RUN) as staging:
        assert staging.resumed == finished


def test_threads_record_their_tasks(tmp_path):
    with Staging.open(target_of(tmp_path / "out", ["a"]), RUN) as staging:
        threads = [threading.Thread(target=staging.append, args=({"task": n},)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(line["task"] for line in staging.read_progress()) == list(range(20))
        staging.discard()


def test_the_sentence_for_many_tasks(tmp_path):
    with Staging.open(target_of(tmp_path / "out", ["a"]), RUN) as staging:
        assert staging.left == "no unfinished file is left"
        staging.append({"task": 1})
        staging.append({"task": 2})
        staging.keep()
        assert staging.left.startswith("2 finished tasks are kept in ")
