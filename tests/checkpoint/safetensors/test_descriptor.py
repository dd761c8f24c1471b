"""One open descriptor per file: what is refused, what is noticed, and that nothing stays open."""

import errno
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from amssim import FormatError, InputError, MismatchError, ResourceError, UnsafePathError
from amssim.checkpoint.safetensors import descriptor
from amssim.checkpoint.safetensors.descriptor import OpenFile, Stamp

CONTENT = bytes(range(200))


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    return tmp_path / "x"


def open_descriptors() -> set[str]:
    return {p.name for p in Path("/proc/self/fd").iterdir()}


def test_bytes_by_position(path, monkeypatch):
    monkeypatch.setattr(descriptor, "CHUNK_BYTES", 7)
    with OpenFile(path) as file:
        assert file.stamp == Stamp.of(path.stat())
        for start, stop in [(0, 200), (3, 4), (50, 50), (0, 0), (200, 200)]:
            assert file.read(start, stop) == CONTENT[start:stop]
            pieces = list(file.chunks(start, stop))
            assert b"".join(pieces) == CONTENT[start:stop] and max(map(len, pieces), default=0) <= 7
            buffer = bytearray(stop - start)
            file.read_into(buffer, start)
            assert buffer == CONTENT[start:stop]
        file.check_unchanged()


def test_reads_that_the_system_cuts_short_are_continued(path, monkeypatch):
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda fd, n, at: pread(fd, min(n, 3), at))
    monkeypatch.setattr(os, "preadv", lambda fd, b, at: preadv(fd, [b[0][:3]], at))
    with OpenFile(path) as file:
        buffer = bytearray(100)
        file.read_into(buffer, 40)
        assert buffer == file.read(40, 140) == CONTENT[40:140]


def test_many_threads_read_one_descriptor(path):
    path.write_bytes(np.arange(1 << 18, dtype="<u4").tobytes())
    wrong = []

    def read(seed):
        for start in np.random.default_rng(seed).integers(0, (1 << 18) - 64, 200).tolist():
            raw = file.read(4 * start, 4 * start + 256)
            wrong.extend(
                [start] * (np.frombuffer(raw, "<u4").tolist() != [*range(start, start + 64)])
            )

    with OpenFile(path) as file:
        threads = [threading.Thread(target=read, args=[seed]) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (4, 3)])
def test_a_range_that_is_none(path, start, stop):
    with OpenFile(path) as file, pytest.raises(InputError, match="has no bytes"):
        file.read(start, stop)


def test_nothing_is_allocated_for_bytes_that_the_file_does_not_have(path):
    with OpenFile(path) as file:
        for work in (lambda: file.read(0, 2**60), lambda: list(file.chunks(0, 2**60))):
            with pytest.raises(FormatError, match=rf"ends at byte 200, expected {2**60} bytes"):
                work()


def test_44_a_file_that_is_cut_off_between_two_reads(path):
    with OpenFile(path) as file:
        file.read(0, 200)
        os.truncate(path, 150)
        for work in (lambda: file.read(100, 200), lambda: file.read_into(bytearray(100), 100)):
            with pytest.raises(FormatError, match=r"x ends at byte 150, expected 200 bytes"):
                work()
        with pytest.raises(MismatchError, match="changed while it was read: run again"):
            file.check_unchanged()


def grown(path):
    with path.open("ab") as file:
        file.write(b"x")


def replaced(path):
    status = path.stat()
    path.with_name("y").write_bytes(bytes(200))
    os.utime(path.with_name("y"), ns=(status.st_atime_ns, status.st_mtime_ns))
    path.with_name("y").rename(path)


def relinked(path):
    path.rename(path.with_name("y"))
    path.symlink_to("z")


CHANGES = [grown, replaced, relinked, os.unlink, lambda p: os.utime(p, ns=(1, 1))]


@pytest.mark.parametrize("change", CHANGES)
def test_43_every_change_is_noticed(path, change):
    with OpenFile(path) as file:
        file.check_unchanged()
        change(path)
        with pytest.raises(MismatchError, match="changed while it was read: run again"):
            file.check_unchanged()


def pipe(path):
    os.mkfifo(path)


def sock(path):
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # the name of a socket is short
        server.bind(path.name)


@pytest.mark.parametrize("make", [pipe, sock, Path.mkdir, lambda p: p.symlink_to("/dev/zero")])
@pytest.mark.parametrize("follow", [True, False])
def test_34_what_is_no_file_is_refused_at_once(tmp_path, monkeypatch, make, follow):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "odd")
    before = open_descriptors()
    with pytest.raises(FormatError, match=r"odd is (not a regular file|a symbolic link)"):
        OpenFile(tmp_path / "odd", follow_links=follow)
    assert open_descriptors() == before


def test_34_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(path, monkeypatch):
    seen = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(descriptor, "_status", lambda path, follow_links: seen)
    before = open_descriptors()
    with pytest.raises(FormatError, match="not a regular file"):
        OpenFile(path)
    assert open_descriptors() == before


def test_34_links_are_followed_unless_told_not_to(path):
    link = path.with_name("link")
    link.symlink_to(path)
    with OpenFile(link) as file:
        assert file.read(0, 200) == CONTENT
    with pytest.raises(UnsafePathError, match="link is a symbolic link, and links are not to be"):
        OpenFile(link, follow_links=False)
    with OpenFile(path, follow_links=False) as file:
        path.rename(path.with_name("y"))
        path.symlink_to("y")
        with pytest.raises(MismatchError):
            file.check_unchanged()


def test_34_a_link_that_takes_the_place_of_a_file(path, monkeypatch):
    seen = path.stat()
    path.rename(path.with_name("y"))
    path.symlink_to("y")
    monkeypatch.setattr(descriptor, "_status", lambda path, follow_links: seen)
    with pytest.raises(UnsafePathError, match="is a symbolic link"):
        OpenFile(path, follow_links=False)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone", "gone does not exist"),
        ("x/below", "x/below does not exist"),
        ("dangling", "dangling is a link to ../blobs/7f, which does not exist"),
        ("loop", "loop cannot be read: Too many levels of symbolic links"),
        ("n" * 5000, "cannot be read: File name too long"),
        ("a\0b", r"a\x00b' is not a file name"),
        ("\ud800", r"\ud800' is not a file name"),
    ],
)
def test_34_names_that_lead_to_no_file(path, name, sentence):
    path.with_name("dangling").symlink_to("../blobs/7f")
    path.with_name("loop").symlink_to("loop")
    with pytest.raises(InputError) as refused:
        OpenFile(path.parent / name)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EIO, InputError), (errno.EMFILE, ResourceError)]
)
@pytest.mark.parametrize("call", ["open", "pread", "preadv"])
def test_what_the_system_says_is_a_sentence(path, monkeypatch, number, kind, call):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    sentence = f"x cannot be read: {os.strerror(number)}"
    with pytest.raises(kind, match=sentence), OpenFile(path) as file:
        file.read(0, 1)
        file.read_into(bytearray(1), 0)


def test_bytes_that_memory_has_no_room_for(path, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    with OpenFile(path) as file:
        monkeypatch.setattr(os, "pread", fail)
        with pytest.raises(ResourceError, match="x: 9 bytes do not fit into memory"):
            file.read(1, 10)


def test_nothing_stays_open(path):
    before = open_descriptors()
    with OpenFile(path) as file:
        assert len(open_descriptors()) == len(before) + 1
        assert not os.get_inheritable(file._descriptor)
    file.close()
    assert open_descriptors() == before
    file = OpenFile(path)
    del file
    assert open_descriptors() == before
