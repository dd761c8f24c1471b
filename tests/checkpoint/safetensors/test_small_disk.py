"""A disk that fills, and one that cannot be written: finished work stays, nothing half is named."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from amssim import OutputError, ResourceError
from amssim.checkpoint.safetensors import space
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.target import Target
from checkpoint.builders import contents

RUN = {"run": "1" * 32}
NAMES = ("a", "b")


def mount(folder, options):
    return subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True
    ).returncode


@pytest.fixture
def disk(tmp_path):
    """A disk of 64 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        refused = os.geteuid() != 0 or mount(folder, "size=64k")
    except OSError:
        refused = True
    if refused:
        pytest.skip("this system does not let a test mount a disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def target_of(disk, there):
    out = disk / "out"
    if there:
        out.mkdir(exist_ok=True)
    return Target(out, NAMES, True, in_place=there)


def run(target, nbytes):
    with Staging.open(target, RUN) as staging:
        done = [line["name"] for line in staging.read_progress()]
        for name in NAMES:
            if name not in done:
                staging.write(name, [name.encode() * nbytes])
                staging.append({"name": name})
        staging.publish()


@pytest.mark.parametrize("there", [False, True])
def test_41_a_full_disk_keeps_what_is_finished(disk, there):
    target = target_of(disk, there)
    if there:
        (target.path / "a").write_bytes(b"old")
    with pytest.raises(ResourceError) as full:
        run(target, 30_000)
    assert str(full.value).endswith("No space left on device: make room and run again")
    assert full.value.__notes__ == [
        f"1 finished task is kept in {target.home / target.folder}: the same command continues"
    ]
    left = {p.name: p.read_bytes() for p in target.path.iterdir() if p.is_file()} if there else {}
    assert left == ({"a": b"old"} if there else {}) and there == target.path.exists()
    assert mount(disk, "remount,size=1m") == 0
    run(target, 30_000)
    assert contents(target.path) == {"a": b"a" * 30_000, "b": b"b" * 30_000}
    assert [p.name for p in disk.iterdir()] == ["out"]


def test_41_a_disk_that_is_full_at_once(disk):
    (disk / "filler").write_bytes(bytes(64 * 1024))
    with pytest.raises(ResourceError, match="No space left on device"):
        run(target_of(disk, False), 10)
    assert [p.name for p in disk.iterdir()] == ["filler"]


def test_41_a_disk_that_cannot_be_written(disk):
    assert mount(disk, "remount,ro") == 0
    with pytest.raises(OutputError, match="Read-only file system: choose another place"):
        run(target_of(disk, False), 10)


def test_41_what_is_there_already_needs_no_space(tmp_path, monkeypatch):
    target = Target(tmp_path / "out", NAMES, False)
    with Staging.open(target, RUN) as staging:
        staging.write("a", [bytes([1]) * 100_000])
        staging.append({"name": "a"})
    monkeypatch.setattr(space.shutil, "disk_usage", lambda path: SimpleNamespace(free=5000))
    with Staging.open(target, RUN) as staging:
        staging.check_space(105_000)
        with pytest.raises(ResourceError, match="not enough space: 5001 bytes are needed, 5000"):
            staging.check_space(105_001)
        staging.discard()
