"""Nothing is touched that amssim did not make: links, foreign folders, locks of others."""

import errno
import fcntl
import os
import shutil

import pytest

from amssim import InputError, OutputError
from amssim.checkpoint.safetensors import folder_lock
from amssim.checkpoint.safetensors.staged_files import StagedFiles
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.target import Target, file_target
from checkpoint.builders import contents

RUN = {"run": "1" * 32, "options": {}}
KINDS = ("new", "in place", "file")


def target_of(kind, tmp_path, names=("a", "b")):
    if kind == "file":
        return file_target(tmp_path / "x.safetensors", overwrite=True)
    out = tmp_path / "out"
    if kind == "in place":
        out.mkdir(exist_ok=True)
    return Target(out, names, True, in_place=kind == "in place")


def staging_path(target):
    return target.home / target.folder


def unfinished(target):
    """A staging folder with finished work in it, left by its run."""
    with Staging.open(target, RUN) as staging:
        for name in target.names[:1]:
            staging.write(name, [b"half"])
        staging.append({"task": 1})
    return staging.path


@pytest.fixture
def precious(tmp_path):
    folder = tmp_path / "precious"
    folder.mkdir()
    for name in ("a", "lock", "job.json", "progress.jsonl"):
        (folder / name).write_bytes(b"precious")
    return folder


def refused(target, sentence, **options):
    with pytest.raises(OutputError) as found:
        Staging.open(target, RUN, **options)
    assert sentence in str(found.value)


@pytest.mark.parametrize("kind", KINDS)
def test_34_a_link_in_place_of_the_staging_folder(kind, tmp_path, precious):
    before, target = contents(precious), target_of(kind, tmp_path)
    path = staging_path(target)
    for aim in (precious, tmp_path / "nowhere", precious / "a"):
        path.symlink_to(aim)
        refused(
            target, "is a link or no directory, where amssim keeps unfinished files", restart=True
        )
        assert path.is_symlink() and contents(precious) == before
        path.unlink()
    path.write_bytes(b"mine")
    refused(target, "is a link or no directory")
    assert path.read_bytes() == b"mine" and not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inside", ["lock", "job.json", "progress.jsonl", "files"])
@pytest.mark.parametrize("begun", [False, True])
def test_34_links_inside_the_staging_folder(kind, inside, begun, tmp_path, precious):
    before, target = contents(precious), target_of(kind, tmp_path)
    if begun:
        path = unfinished(target)
        shutil.rmtree(path / inside) if inside == "files" else (path / inside).unlink()
    else:
        path = staging_path(target)
        path.mkdir()
    (path / inside).symlink_to(precious if inside == "files" else precious / inside)
    with pytest.raises(OutputError, match=r"link|holds progress"):
        Staging.open(target, RUN, restart=True)
    assert contents(precious) == before and (path / inside).is_symlink()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_34_links_among_the_staged_files(link, tmp_path, precious):
    target = target_of("new", tmp_path)
    path = unfinished(target)
    if link is os.symlink:
        link(precious / "a", path / "files" / "b")
        refused(target, "b is a link, which amssim does not make", restart=True)
        (path / "files" / "b").unlink()
    with Staging.open(target, RUN) as staging:
        link(precious / "a", path / "files" / "b")
        for work in (lambda: staging.create("b", 3), lambda: staging.reopen("b"), staging.publish):
            with pytest.raises(OutputError, match=r"is no regular file but a link|has 2 names"):
                work()
        staging.remove("b")  # a name is removed, never what it leads to
        staging.write("b", [b"new"])
        staging.publish()
    assert (precious / "a").read_bytes() == b"precious"
    assert contents(tmp_path / "out") == {"a": b"half", "b": b"new"}


@pytest.mark.parametrize("kind", KINDS)
def test_37_a_folder_that_says_not_what_it_is_for(kind, tmp_path):
    """Somebody's own, or that of an earlier version, which had no job.json."""
    target = target_of(kind, tmp_path)
    path = staging_path(target)
    for name in ("model-00001-of-00002.safetensors", "files/a", "notes.txt"):
        (path / name).parent.mkdir(parents=True)
        (path / name).write_bytes(b"mine")
        refused(
            target, "it is left untouched, because it is not amssim's or from an earlier version"
        )
        refused(target, "left untouched", restart=True)
        assert (path / name).read_bytes() == b"mine"
        shutil.rmtree(path)


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[1]", b"\xff", b"[" * 10**5, b'{"format": 2}',
     b'{"format":1,"run":"1","output":"out","files":["../x"],"inode":1,"record":{}}',
     b'{"format":1,"run":1,"output":"out","files":[],"inode":1,"record":{}}'],
)  # fmt: skip
def test_37_a_job_file_that_amssim_did_not_write(text, tmp_path):
    target = target_of("new", tmp_path)
    path = unfinished(target)
    (path / "job.json").write_bytes(text)
    refused(target, "job.json is not what this version of amssim writes", restart=True)
    assert contents(path / "files") == {"a": b"half"}


def test_37_a_folder_of_another_output(tmp_path):
    target = target_of("new", tmp_path)
    path = unfinished(target)
    other = Target(tmp_path / "other", target.names, False)
    path.rename(staging_path(other))
    refused(other, "is for the output 'out', not 'other'", restart=True)


def test_37_a_file_that_somebody_put_among_the_staged_ones(tmp_path):
    target = target_of("new", tmp_path, ("a",))
    path = unfinished(target)
    (path / "files" / "notes.txt").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"besides what the run makes, notes\.txt"):  # noqa: SIM117
        with Staging.open(target, RUN) as staging:
            staging.publish()
    refused(target, "holds notes.txt, which amssim did not make", restart=True)
    assert (path / "files" / "notes.txt").read_bytes() == b"mine"
    assert not (tmp_path / "out").exists()


def test_only_files_of_the_run_can_be_made(tmp_path):
    with Staging.open(target_of("new", tmp_path), RUN) as staging:
        for name in ("../x", "c", "", ".", "..", "a/b", "/a", "a\0"):
            for work in (staging.create, staging.reopen, staging.remove):
                with pytest.raises(InputError):
                    work(name)
    for name in ("../x", "", ".", "a/b", "a\0"):
        with pytest.raises(InputError, match="is not the name of a file"):
            target_of("new", tmp_path, (name,))


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another user")
def test_37_a_folder_of_another_user(tmp_path):
    target = target_of("new", tmp_path)
    path = unfinished(target)
    os.chown(path, 12345, -1)
    refused(target, "belongs to user 12345, and you are 0", restart=True)
    with pytest.raises(OutputError, match="belongs to user 12345"):
        StagedFiles.join(path, RUN["run"])
    assert contents(path / "files") == {"a": b"half"}


def test_a_disk_that_gives_new_files_to_another_user(tmp_path, monkeypatch):
    """As network disks do with root's files."""
    target = target_of("new", tmp_path)
    unfinished(target)
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    with Staging.open(target, RUN) as staging:
        assert staging.resumed
        staging.discard()
    assert list(tmp_path.iterdir()) == []


class Meanwhile:
    """Stands for `flock`: before the first lock is taken, something happens."""

    def __init__(self, happens):
        self.happens, self.real = happens, fcntl.flock

    def __call__(self, handle, operation):
        happens, self.happens = self.happens, None
        if happens:
            happens()
        self.real(handle, operation)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("finished", [False, True])
def test_42_another_writer_removes_and_makes_the_folder_between_open_and_lock(
    kind, finished, tmp_path, monkeypatch
):
    target = target_of(kind, tmp_path)
    other = []

    def another_writer():
        shutil.rmtree(staging_path(target))
        other.append(Staging.open(target, RUN))
        other[0].write(target.names[0], [b"others"])
        if finished:
            other[0].discard()

    monkeypatch.setattr(folder_lock.fcntl, "flock", Meanwhile(another_writer))
    if finished:
        with Staging.open(target, RUN) as staging:
            assert staging.names() == [] and staging_path(target).exists()
    else:
        refused(target, "another amssim is writing to")
        assert contents(other[0].directory) == {target.names[0]: b"others"}
        other[0].discard()
    assert not staging_path(target).exists()


def test_42_the_lock_is_exchanged_between_open_and_lock(tmp_path, monkeypatch):
    target = target_of("new", tmp_path)
    path = unfinished(target)

    def exchange():
        (path / "lock").unlink()
        (path / "lock").touch()

    monkeypatch.setattr(folder_lock.fcntl, "flock", Meanwhile(exchange))
    with Staging.open(target, RUN) as staging:
        refused(target, "another amssim is writing to")
        assert staging.resumed


def test_a_folder_that_is_made_and_removed_for_ever(tmp_path, monkeypatch):
    target, real = target_of("new", tmp_path), fcntl.flock

    def flock(handle, operation):
        shutil.rmtree(staging_path(target))
        real(handle, operation)

    monkeypatch.setattr(folder_lock.fcntl, "flock", flock)
    refused(target, "is made and removed by other processes again and again")


def test_a_folder_that_is_moved_under_the_hands_of_a_run(tmp_path):
    staging = Staging.open(target_of("new", tmp_path), RUN)
    staging.write("a", [b"a"])
    staging.append({"task": 1})
    staging.path.rename(tmp_path / "moved")
    staging.keep()
    assert staging.left == "no unfinished file is left"
    assert (tmp_path / "moved" / "files" / "a").read_bytes() == b"a"


def test_a_lock_that_is_removed_under_the_hands_of_a_run(tmp_path):
    with Staging.open(target_of("new", tmp_path), RUN) as staging:
        staging.append({"task": 1})
        (staging.path / "lock").unlink()
        with pytest.raises(OutputError, match="removed or exchanged"):
            staging.publish()
    assert staging.path.is_dir() and "1 finished task is kept" in staging.left


def test_a_folder_that_is_removed_under_the_hands_of_a_run(tmp_path):
    target = target_of("new", tmp_path, ("a",))
    with (
        pytest.raises(OutputError, match="has been removed or exchanged by another program"),
        Staging.open(target, RUN) as staging,
    ):
        staging.write("a", [b"1"])
        shutil.rmtree(staging.path)
        with Staging.open(target, RUN) as other:
            other.write("a", [b"other"])
            staging.publish()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_disk_without_locks(number, tmp_path, monkeypatch):
    def flock(handle, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folder_lock.fcntl, "flock", flock)
    refused(target_of("new", tmp_path), "has no file locks (")
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_250_characters(tmp_path):
    for name in ("n" * 255, "n" * 243 + ".safetensors"):
        if name.endswith("s"):
            target = file_target(tmp_path / name, overwrite=False)
        else:
            target = Target(tmp_path / name, ("f" * 255,), False)
        with Staging.open(target, RUN) as staging:
            staging.write(target.names[0], [b"1"])
            staging.publish()
        assert (tmp_path / name).exists()
    assert len(list(tmp_path.iterdir())) == 2
