"""What happens while a verb runs: signals, limits, other writers, a source that changes."""

import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from amssim.checkpoint import dequantize_checkpoint, quantize_checkpoint
from amssim.errors import AmsError, OutputError, SchemeError
from checkpoint.builders import entry, write_tensors
from hostile.world import ONE, TWO, check_one_line, state

SLOW = r"""
import os, sys, time
import amssim.checkpoint.jobs.convert as convert
from amssim.cli import main
quantize = convert.quantize_as
def slowly(*args, **options):
    os.write(1, b"a task\n")  # at once, whatever other threads say
    time.sleep(float(sys.argv[1]))
    return quantize(*args, **options)
convert.quantize_as = slowly
sys.exit(main(sys.argv[2:]))
"""


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def leftovers(world):
    return sorted(p.name for p in world.folder.iterdir() if p.name.startswith(".amssim"))


def started(world, *argv, seconds=0.4, tasks=2):
    """Start quantize in a process of its own, and wait until some tasks are under way."""
    command = [sys.executable, "-c", SLOW, str(seconds), *argv]
    process = subprocess.Popen(command, cwd=world.folder, stdout=-1, stderr=-1, text=True)
    for _ in range(tasks):
        assert process.stdout.readline() == "a task\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_40_47_what_ends_a_run_leaves_one_that_continues(world, number):
    before = state(world.model)
    process = started(world, "quantize", "model", "out", "--threads", "1")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert not world.out.exists() and state(world.model) == before
    if number != signal.SIGKILL:
        assert process.returncode == 130
        check_one_line(err)
        assert number.name in err
        assert ("the same command continues" in err) == bool(leftovers(world)), err
    world.amssim("quantize", "model", "out", "--threads", "1")
    assert leftovers(world) == []
    world.works("verify", "out", "--source", "model")
    assert files(world.out) == files(world.quantize(dst="other"))


def test_47_a_run_of_other_options_does_not_continue_it(world):
    process = started(world, "quantize", "model", "out", "--threads", "1", tasks=3)
    process.terminate()
    process.communicate(timeout=60)
    assert leftovers(world)
    world.fails(4, "fp4.25", "quantize", "model", "out", "--scheme", "fp4.25")
    world.amssim("quantize", "model", "out", "--scheme", "fp4.25", "--restart")
    assert leftovers(world) == []
    world.works("verify", "out", "--source", "model")


def test_42_another_writer_is_waited_for(world):
    process = started(world, "quantize", "model", "out", seconds=0.6, tasks=1)
    try:
        result = world.amssim("quantize", "model", "out")
        assert result.code == 4 and "another" in result.err, result
        check_one_line(result.err)
    finally:
        process.communicate(timeout=60)
    assert process.returncode == 0
    world.works("verify", "out", "--source", "model")


@contextmanager
def limited(which, most):
    before = resource.getrlimit(which)
    resource.setrlimit(which, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, before)


@pytest.mark.parametrize("most", [0, 100, 700, 1000])
@pytest.mark.parametrize("verb", ["quantize", "dequantize"])
def test_41_files_may_not_grow(world, verb, most):
    """As a full disk: the system refuses to write, at several places."""
    packed = world.quantize(dst="packed")
    source = {"quantize": "model", "dequantize": "packed"}[verb]
    with limited(resource.RLIMIT_FSIZE, most):
        result = world.amssim(verb, source, "out")
    assert result.code == 4, result
    check_one_line(result.err)
    assert not world.out.exists()
    assert world.amssim(verb, source, "out").code == 0
    assert leftovers(world) == []
    world.works("verify", packed.name)


def test_41_no_descriptors_are_left(world):
    used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with limited(resource.RLIMIT_NOFILE, used + 1):
        result = world.amssim("quantize", "model", "out")
    assert result.code in (3, 4), result
    check_one_line(result.err)
    assert not world.out.exists()
    assert world.amssim("quantize", "model", "out").code == 0
    assert leftovers(world) == []
    assert len(os.listdir("/proc/self/fd")) <= used + 1  # noqa: PTH208


def meddle(change):
    """What is done once, while the first tasks are reported."""
    done = []

    def progress(finished, total, name):
        if not done:
            done.append(1)
            change()

    return progress


def swapped(path):
    """Another file of the same size takes the name, with the same time."""
    status, raw = path.stat(), path.read_bytes()
    path.rename(path.with_name("moved"))
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def grown(path):
    path.write_bytes(path.read_bytes() + b"x")


def removed(path):
    path.unlink()


def backwards(path):
    """The clock went back: the file is another, and older."""
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    os.utime(path, (1, 1))


@pytest.mark.parametrize("name", [ONE, TWO])
@pytest.mark.parametrize("change", [cut, grown, removed, backwards])
def test_43_44_a_source_that_changes_meanwhile(world, change, name):
    with pytest.raises(AmsError) as refused:
        quantize_checkpoint(
            world.model, world.out, threads=1, progress=meddle(lambda: change(world.model / name))
        )
    assert name in str(refused.value), refused.value
    assert not world.out.exists()


@pytest.mark.parametrize("name", [ONE, TWO])
def test_43_a_source_is_read_before_or_after_it_is_exchanged_but_not_both(world, name):
    shutil.copytree(world.model, world.folder / "before")
    change = meddle(lambda: swapped(world.model / name))
    with suppress(AmsError):
        quantize_checkpoint(world.model, world.out, threads=1, progress=change)
        codes = [world.amssim("verify", "out", "--source", s).code for s in ("before", "model")]
        assert 0 in codes


@pytest.mark.parametrize("change", [cut, grown, removed, backwards])
def test_43_44_a_packed_source_that_changes_meanwhile(world, change):
    packed = world.quantize()
    with pytest.raises(AmsError):
        dequantize_checkpoint(
            packed, world.folder / "back", threads=1, progress=meddle(lambda: change(packed / ONE))
        )
    assert not (world.folder / "back").exists()


def test_40_an_output_that_appears_meanwhile_is_not_replaced(world):
    def somebody_writes():
        world.out.mkdir()
        (world.out / "mine.txt").write_text("mine")

    with pytest.raises(OutputError, match="out"):
        quantize_checkpoint(world.model, world.out, threads=1, progress=meddle(somebody_writes))
    assert files(world.out) == {"mine.txt": b"mine"}


def test_36_the_output_s_parent_is_moved_meanwhile(world):
    """All is done relative to what was opened: nothing lands in a folder of the old name."""
    (world.folder / "parent").mkdir()

    def move():
        (world.folder / "parent").rename(world.folder / "moved")
        (world.folder / "parent").symlink_to("precious")

    with pytest.raises(AmsError):
        quantize_checkpoint(
            world.model, world.folder / "parent" / "out", threads=1, progress=meddle(move)
        )
    assert not (world.precious / "out").exists()


def test_34_staging_is_exchanged_for_a_link_meanwhile(world):
    def exchange():
        (staging,) = world.folder.glob(".amssim-*.partial")
        staging.rename(world.folder / "stolen")
        staging.symlink_to("precious")

    with pytest.raises(AmsError):
        quantize_checkpoint(world.model, world.out, threads=1, progress=meddle(exchange))


def test_49_a_fault_in_one_worker_ends_all(world):
    array = np.ones((64, 64), np.float32)
    tensors = {f"l.{i}.weight": array for i in range(8)}
    tensors["l.5.weight"] = np.full((64, 64), np.nan, np.float32)
    write_tensors(world.folder / "s.safetensors", tensors)
    result = world.fails(3, "l.5.weight", "quantize", "s.safetensors", "q.safetensors")
    assert "64" in result.err or "4096" in result.err
    with pytest.raises(SchemeError):
        quantize_checkpoint(world.model, world.out, on_nan="ignore")


MEMORY = """
import resource, sys
from amssim.cli import main
import amssim.checkpoint.jobs.execute, amssim.checkpoint.jobs.convert
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("verb", ["quantize", "inspect"])
def test_48_memory_that_does_not_suffice_is_a_sentence(world, verb):
    huge = world.folder / "s.safetensors"
    write_tensors(huge, {"w.weight": np.ones((4, 4), np.float32)})
    rows = 1 << 28
    header = json.dumps({"w.weight": entry("F32", [1, rows], 0, 4 * rows)})
    with huge.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header.encode())
        file.truncate(8 + len(header) + 4 * rows)
    argv = {"quantize": ["quantize", huge, world.out.with_suffix(".safetensors")],
            "inspect": ["inspect", huge]}[verb]  # fmt: skip
    command = [sys.executable, "-c", MEMORY, str(100 << 20), *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=world.folder)
    if verb == "inspect":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 4, done
        check_one_line(done.stderr)
        assert "memory" in done.stderr
        assert leftovers(world) == [], done.stderr


def test_42_a_lock_of_somebody_dead_is_no_obstacle(world):
    process = started(world, "quantize", "model", "out", seconds=5, tasks=1)
    process.kill()
    process.wait()
    process.stdout.close(), process.stderr.close()
    assert world.amssim("quantize", "model", "out").code == 0
    assert leftovers(world) == []
    world.works("verify", "out", "--source", "model")


def test_42_fork_and_time(world):
    """A lock that another process holds on the source's folder means nothing to us."""
    handle = os.open(world.model, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        start = time.monotonic()
        world.quantize()
        assert time.monotonic() - start < 30
    finally:
        os.close(handle)
