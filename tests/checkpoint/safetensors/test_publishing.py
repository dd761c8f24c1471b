"""Names are given all together; where a directory exists, by a journal that is settled later."""

import errno
import json
import os
import signal
import stat
import threading
from hashlib import sha256

import pytest

from amssim import MismatchError, OutputError, ResourceError
from amssim.checkpoint.safetensors.folder import Folder
from amssim.checkpoint.safetensors.half_published import JOURNAL
from amssim.checkpoint.safetensors.shards import read_checkpoint
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.target import Target, file_target, rewriting_target
from checkpoint.builders import contents, make_model

RUN, OTHER_RUN = {"run": "1" * 32}, {"run": "2" * 32}
OLD = {"a": b"old a", "c": b"old c"}
NEW = {"a": b"new a", "b": b"new b", "c": b"new c"}


class Killed(BaseException):
    """Stands for the end of the process: nothing is put in order after it."""


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    for name, content in OLD.items():
        (folder / name).write_bytes(content)
    (folder / "notes.txt").write_bytes(b"mine")
    return folder


def in_place(out, files=NEW):
    return Target(out, tuple(files), True, in_place=True)


def publish(target, files=NEW, record=RUN):
    with Staging.open(target, record) as staging:
        if staging.published:
            return True
        for name, content in files.items():
            staging.write(name, [content])
        staging.append({"task": 1})
        staging.publish()
    return False


def half_published(out, monkeypatch, renames):
    """Leave ``out`` as a kill does after some renames of the publishing."""
    with monkeypatch.context() as patch:
        staging = Staging.open(in_place(out), RUN)
        for name, content in NEW.items():
            staging.write(name, [content])
        staging.append({"task": 1})
        real, count = os.rename, [0]

        def rename(*arguments, **options):
            if count[0] == renames + 1:  # the first is the journal's
                raise Killed
            count[0] += 1
            real(*arguments, **options)

        patch.setattr(os, "rename", rename)
        with pytest.raises(Killed):
            staging.publish()
    staging._close_lines()
    for descriptor in (staging._lock, staging._folder.fd, staging._directory.fd, staging._home.fd):
        os.close(descriptor)
    for folder in (staging._folder, staging._directory, staging._home):
        folder.fd = -1
    assert (out / JOURNAL).exists()


def test_40_the_journal_names_every_file_with_size_and_digest(out, monkeypatch):
    half_published(out, monkeypatch, 0)
    journal = json.loads((out / JOURNAL).read_text())
    assert journal == {
        "format": 1,
        "run": RUN["run"],
        "staging": ".amssim-partial",
        "files": {
            name: {"size": len(content), "sha256": sha256(content).hexdigest()}
            for name, content in NEW.items()
        },
        "replaced": ["a", "c"],
    }


@pytest.mark.parametrize("renames", range(2))
def test_40_the_next_run_finishes(out, monkeypatch, renames):
    half_published(out, monkeypatch, renames)
    with pytest.raises(MismatchError, match="half published"):
        read_checkpoint(out)
    assert publish(in_place(out))
    assert contents(out) == NEW | {"notes.txt": b"mine"}


@pytest.mark.parametrize("renames", range(2))
@pytest.mark.parametrize("fault", ["damaged", "gone", "a link"])
def test_40_the_next_run_brings_back_what_was_there(out, monkeypatch, renames, fault):
    half_published(out, monkeypatch, renames)
    staged = out / ".amssim-partial" / "files" / "c"
    content = staged.read_bytes()
    staged.unlink()
    if fault == "damaged":
        staged.write_bytes(content[:-1] + b"x")
    elif fault == "a link":
        staged.symlink_to(out / "notes.txt")
    if fault == "a link":
        with pytest.raises(OutputError, match="link"):
            Staging.open(in_place(out), RUN)
        staged.unlink()
    with Staging.open(in_place(out), RUN) as staging:
        left = {n: c for n, c in contents_of_files(out).items() if n != "notes.txt"}
        assert left == OLD and staging.resumed
        assert list((staging.path / "replaced").iterdir()) == []
        for name, new in NEW.items():
            staging.write(name, [new])
        staging.publish()
    assert contents(out) == NEW | {"notes.txt": b"mine"}


def contents_of_files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize("removals", range(4))
def test_40_a_kill_while_unfinished_work_is_discarded(out, monkeypatch, removals):
    half_published(out, monkeypatch, 0)
    (out / ".amssim-partial" / "files" / "c").unlink()
    Staging.open(in_place(out), RUN).keep()  # brings back what was there
    if not (child := os.fork()):
        real, count = Folder.remove_directory, [0]

        def remove_directory(folder, name):
            if count[0] == removals:
                os._exit(0)
            count[0] += 1
            real(folder, name)

        monkeypatch.setattr(Folder, "remove_directory", remove_directory)
        Staging.open(in_place(out), RUN, restart=True).discard()
        os._exit(0)
    os.waitpid(child, 0)
    assert not publish(in_place(out))
    assert contents(out) == NEW | {"notes.txt": b"mine"}


def test_40_another_run_settles_it_too(out, monkeypatch):
    half_published(out, monkeypatch, 1)
    publish(in_place(out, {"a": b"other"}), {"a": b"other"}, OTHER_RUN)
    assert contents(out) == NEW | {"a": b"other", "notes.txt": b"mine"}


@pytest.mark.parametrize("renames", range(2))
def test_40_a_third_file_is_neither_replaced_nor_removed(out, monkeypatch, renames):
    half_published(out, monkeypatch, renames)
    (out / ".amssim-partial" / "files" / "c").unlink()
    (out / "a").unlink()
    (out / "a").write_bytes(b"somebody's")
    with pytest.raises(MismatchError, match="a is neither the old nor the new file"):
        Staging.open(in_place(out), RUN)
    assert (out / JOURNAL).exists() and (out / ".amssim-partial").exists()
    assert (out / "a").read_bytes() == b"somebody's"


def test_40_the_staging_folder_was_removed(out, monkeypatch):
    half_published(out, monkeypatch, 1)
    (out / ".amssim-partial").rename(out.parent / "kept")
    with pytest.raises(MismatchError, match=r"c is not the new file, .* is gone: remove"):
        Staging.open(in_place(out), RUN)
    assert not (out / ".amssim-partial").exists()
    for name, content in NEW.items():
        (out / name).write_bytes(content)
    assert publish(in_place(out))
    assert contents(out) == NEW | {"notes.txt": b"mine"}


@pytest.mark.parametrize("text", [b"", b"{}", b'{"format":1,"files":{"../x":{}}}', b"\xff"])
def test_40_a_journal_that_amssim_did_not_write(out, text):
    (out / JOURNAL).write_bytes(text)
    with pytest.raises(MismatchError, match="is not what this version of amssim writes"):
        Staging.open(in_place(out), RUN)
    assert contents(out) == OLD | {"notes.txt": b"mine", JOURNAL: text}


def no_links(monkeypatch, number=errno.EPERM):
    def link(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)


def test_a_disk_without_hard_links(out, monkeypatch):
    no_links(monkeypatch)
    publish(in_place(out))
    assert contents(out) == NEW | {"notes.txt": b"mine"}
    half_published(out, monkeypatch, 3)
    assert publish(in_place(out))
    path = out.parent / "x.safetensors"
    publish(file_target(path, overwrite=False), {path.name: b"1"})
    assert path.read_bytes() == b"1"


@pytest.mark.parametrize("at", range(1, 7))
def test_a_fault_while_publishing_brings_back_what_was_there(out, monkeypatch, at):
    """And keeps what is staged, so that the same command continues."""
    real, count = os.rename, [0]

    def rename(*arguments, **options):
        count[0] += 1
        if count[0] == at + 1:  # after job.json
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*arguments, **options)

    monkeypatch.setattr(os, "rename", rename)
    try:
        publish(in_place(out))
    except ResourceError as error:
        assert "No space left on device: make room and run again" in str(error)
        assert "1 finished task is kept in" in error.__notes__[0]
        assert contents_of_files(out) == OLD | {"notes.txt": b"mine"}
    monkeypatch.undo()
    publish(in_place(out))
    assert contents(out) == NEW | {"notes.txt": b"mine"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("kind", ["new", "in place", "file"])
def test_40_a_signal_waits_until_all_have_their_names(out, monkeypatch, number, kind):
    def interrupted(got, frame):
        raise KeyboardInterrupt

    if kind == "file":
        target = file_target(out.parent / "x.safetensors", overwrite=True)
    else:
        target = in_place(out) if kind == "in place" else Target(out / "new", tuple(NEW), False)
    real = os.rename

    def rename(*arguments, **options):
        real(*arguments, **options)
        os.kill(os.getpid(), number)

    before = signal.signal(number, interrupted)
    try:
        with pytest.raises(KeyboardInterrupt) as stopped, Staging.open(target, RUN) as staging:
            for name in target.names:
                staging.write(name, [b"1"])
            monkeypatch.setattr(os, "rename", rename)
            staging.publish()
    finally:
        signal.signal(number, before)
    assert staging.published and stopped.value.__notes__ == [f"{target.path} is complete"]
    assert not staging.path.exists()
    names = [target.path] if kind == "file" else [target.path / name for name in NEW]
    assert all(path.read_bytes() == b"1" for path in names)


def test_publishing_without_further_threads(out, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert not publish(in_place(out))
    assert contents(out) == NEW | {"notes.txt": b"mine"}


def test_publishing_in_another_thread(out):
    thread = threading.Thread(target=publish, args=(in_place(out),))
    thread.start()
    thread.join()
    assert contents(out) == NEW | {"notes.txt": b"mine"}


@pytest.mark.parametrize("kind", ["directory", "empty", "file", "link"])
def test_a_name_that_somebody_takes_while_a_directory_is_made(tmp_path, kind):
    out, target = tmp_path / "out", Target(tmp_path / "out", ("a",), False)
    with Staging.open(target, RUN) as staging:
        staging.write("a", [b"1"])
        if kind in ("directory", "empty"):
            out.mkdir()
        if kind == "directory":
            (out / "x").write_bytes(b"mine")
        elif kind == "file":
            out.write_bytes(b"mine")
        elif kind == "link":
            out.symlink_to(tmp_path)
        if kind == "empty":
            staging.publish()
            return
        with pytest.raises(OutputError, match="out has appeared meanwhile: not replaced"):
            staging.publish()
    assert not (out / "a").exists()


def test_a_name_that_somebody_takes_while_a_file_is_made(tmp_path):
    path = tmp_path / "x.safetensors"
    with Staging.open(file_target(path, overwrite=False), RUN) as staging:
        staging.write(path.name, [b"1"])
        path.write_bytes(b"mine")
        with pytest.raises(OutputError, match="has appeared meanwhile: not replaced"):
            staging.publish()
    assert contents(tmp_path) == {path.name: b"mine"}


def test_a_directory_made_while_work_for_it_was_unfinished(tmp_path):
    out = tmp_path / "out"
    new = Target(out, ("a",), False)
    with Staging.open(new, RUN) as staging:
        staging.append({"task": 1})
    out.mkdir()
    with pytest.raises(
        OutputError, match=r"remove the directory .*out to continue it, or --restart"
    ):
        Staging.open(in_place(out), RUN)
    Staging.open(in_place(out), RUN, restart=True).discard()
    assert list(tmp_path.iterdir()) == [out] and list(out.iterdir()) == []


def test_files_of_a_directory_are_written_anew_and_others_stay(tmp_path):
    model = make_model(tmp_path / "model")
    before = contents(model)
    publish(rewriting_target(model, ["config.json", "seal"]), {"config.json": b"{}", "seal": b"1"})
    assert contents(model) == before | {"config.json": b"{}", "seal": b"1"}


def test_files_that_are_not_replaced_are_not_touched(out):
    before = (out / "notes.txt").stat()
    publish(in_place(out))
    after = (out / "notes.txt").stat()
    assert (before.st_ino, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_disk_that_cannot_synchronise_directories(out, monkeypatch, number):
    real = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    publish(in_place(out))
    assert contents(out) == NEW | {"notes.txt": b"mine"}


def test_a_result_that_the_disk_does_not_confirm(tmp_path, monkeypatch):
    real = os.rename

    def rename(*arguments, **options):
        real(*arguments, **options)
        monkeypatch.setattr(Folder, "sync", fails)

    def fails(self):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    target = Target(tmp_path / "out", ("a",), False)
    with (
        pytest.raises(OutputError, match="out is complete, but it cannot be written to the disk"),
        Staging.open(target, RUN) as staging,
    ):
        staging.write("a", [b"1"])
        monkeypatch.setattr(os, "rename", rename)
        staging.publish()
    assert staging.published and contents(target.path) == {"a": b"1"}
    assert list(tmp_path.iterdir()) == [target.path]
