"""Checksums of parts, put together, are those that zlib gives for the whole."""

import zlib
from functools import reduce
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import FormatError
from amssim.checkpoint.safetensors import checksum
from amssim.checkpoint.safetensors.checksum import combine, crc32_of
from amssim.checkpoint.safetensors.descriptor import OpenFile


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_parts_in_any_grouping(whole, cuts):
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    parts = [whole[a:b] for a, b in pairwise(edges)]
    sums = [(zlib.crc32(part), len(part)) for part in parts]

    def join(a, b):
        return combine(a[0], b[0], b[1]), a[1] + b[1]

    expected = zlib.crc32(whole), len(whole)
    assert reduce(join, sums) == expected
    assert reduce(lambda a, b: join(b, a), reversed(sums)) == expected


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**44))
def test_a_long_part_is_as_two_halves(first, second, count):
    half = count // 2
    zeros = combine(second, 0, count - half)  # any sum will do for a part of that length
    assert combine(combine(first, 0, half), zeros, count - half) == combine(
        first, combine(0, zeros, count - half), count
    )


@given(st.binary(max_size=200), st.data())
def test_the_checksum_of_bytes_of_a_file(raw, data):
    start = data.draw(st.integers(0, len(raw)))
    stop = data.draw(st.integers(start, len(raw)))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "x")
        path.write_bytes(raw)
        patch.setattr(checksum, "_BUFFER_BYTES", 7)
        with OpenFile(path) as file:
            assert crc32_of(file, start, stop) == zlib.crc32(raw[start:stop])
            with pytest.raises(FormatError, match=f"ends at byte {len(raw)}"):
                crc32_of(file, start, len(raw) + 1)
