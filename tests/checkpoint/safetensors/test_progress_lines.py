"""Finished tasks: whole lines count, a damaged one and those after it do not."""

import errno
import json
import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import OutputError
from amssim.checkpoint.safetensors.folder import Folder
from amssim.checkpoint.safetensors.progress_lines import (
    ProgressLines,
    decode_lines,
    encode_line,
    read_lines,
)

LINES = st.lists(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
    max_size=4,
)


@given(LINES)
def test_lines_are_json_with_a_checksum(lines):
    raw = b"".join(map(encode_line, lines))
    assert decode_lines(raw) == (lines, len(raw))
    for text in raw.splitlines():
        value = json.loads(text)
        canonical = json.dumps(value["line"], sort_keys=True, separators=(",", ":"))
        assert value["crc32"] == f"{zlib.crc32(canonical.encode()):08x}"


@given(LINES, st.data())
def test_47_a_torn_or_damaged_line_ends_what_is_believed(lines, data):
    pieces = [encode_line(line) for line in lines]
    raw = b"".join(pieces)
    cut = data.draw(st.integers(0, len(raw)))
    whole = sum(sum(map(len, pieces[: i + 1])) <= cut for i in range(len(pieces)))
    assert decode_lines(raw[:cut])[0] == lines[:whole]
    if cut < len(raw):
        bit = 1 << data.draw(st.integers(0, 7))
        damaged = raw[:cut] + bytes([raw[cut] ^ bit]) + raw[cut + 1 :]
        found, end = decode_lines(damaged)
        assert found == lines[:whole] and end == sum(map(len, pieces[:whole]))


@given(st.binary(max_size=200))
def test_any_bytes_are_read(raw):
    decode_lines(raw)


def test_a_line_after_a_torn_one_is_found_again(tmp_path):
    (tmp_path / "p").write_bytes(encode_line({"n": 1}) + encode_line({"n": 2})[:-5])
    folder = Folder.at(tmp_path)
    lines = ProgressLines(folder, "p")
    lines.append({"n": 3})
    lines.close()
    assert read_lines(folder, "p")[0] == [{"n": 1}, {"n": 3}]


def test_41_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    folder, write = Folder.at(tmp_path), os.write
    lines = ProgressLines(folder, "p")
    lines.append({"n": 1})

    def full(handle, data):
        monkeypatch.undo()
        write(handle, bytes(data)[:7])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        lines.append({"n": 2})
    lines.append({"n": 3})
    lines.close()
    assert read_lines(folder, "p")[0] == [{"n": 1}, {"n": 3}]


def test_two_writers_of_one_file(tmp_path):
    folder = Folder.at(tmp_path)
    lines = ProgressLines(folder, "p")
    with pytest.raises(OutputError, match=r"another process writes .*p .*part of its own"):
        ProgressLines(folder, "p")
    lines.close()
    ProgressLines(folder, "p").close()
