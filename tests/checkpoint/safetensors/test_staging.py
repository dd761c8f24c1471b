"""Output that appears whole or not at all: errors, interrupts, full disks, two writers."""

import errno
import os
import resource
import signal
import subprocess
import sys

import pytest

from amssim import OutputError, ResourceError
from amssim.checkpoint.safetensors.output import Staging, check_space, output_errors
from checkpoint.builders import contents


def staged(home, files, tag="", overwrite=False, last=()):
    with Staging(home, tag) as staging:
        for name, content in files.items():
            staging.write(name, [content])
        staging.publish([n for n in files if n not in last], list(last), overwrite=overwrite)


def test_files_appear_together_under_their_names(tmp_path):
    staged(tmp_path / "new" / "out", {"a": b"1", "b": b"2"}, last=["b"])
    assert contents(tmp_path / "new" / "out") == {"a": b"1", "b": b"2"}


def test_40_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), Staging(tmp_path) as staging:
            staging.write("a", [b"new"])
            raise error
        assert contents(tmp_path) == {"a": b"old"}


def test_40_an_error_removes_a_directory_that_was_made(tmp_path):
    with pytest.raises(ValueError), Staging(tmp_path / "out") as staging:
        staging.write("a", [b"new"])
        raise ValueError
    assert not (tmp_path / "out").exists()


def test_40_a_killed_writer_leaves_no_final_name_and_the_next_one_clears_up(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from amssim.checkpoint.safetensors.output import Staging\n"
        "with Staging(Path(sys.argv[1])) as staging:\n"
        "    staging.write('a', [b'half'])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path])
    assert done.returncode == -signal.SIGKILL
    assert [p.name for p in tmp_path.iterdir()] == [".amssim-partial"]
    staged(tmp_path, {"b": b"1"})
    assert contents(tmp_path) == {"b": b"1"}


def test_42_two_writers(tmp_path):
    with Staging(tmp_path) as first:
        first.write("a", [b"1"])
        with pytest.raises(OutputError, match="another amssim is writing to"), Staging(tmp_path):
            pass
        staged(tmp_path, {"x": b"other file"}, tag="x")
        first.publish(["a"], [], overwrite=False)
    assert contents(tmp_path) == {"a": b"1", "x": b"other file"}


def test_a_name_that_was_taken_meanwhile(tmp_path):
    with pytest.raises(OutputError, match="b has appeared meanwhile"), Staging(tmp_path) as staging:
        staging.write("a", [b"1"])
        staging.write("b", [b"1"])
        (tmp_path / "b").write_bytes(b"other")
        staging.publish(["a"], ["b"], overwrite=False)
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
        with pytest.raises(ResourceError, match="File too large"), output_errors(tmp_path):
            staged(tmp_path / "out", {"a": b"1", "b": bytes(2000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert contents(tmp_path) == {}


def test_41_space_is_checked_first(tmp_path):
    with pytest.raises(ResourceError, match="not enough space: 1000000000000000000 bytes"):
        check_space(tmp_path / "not" / "yet", 10**18)
    check_space(tmp_path / "not" / "yet", 1)
