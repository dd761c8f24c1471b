"""PTX on disk: read again, never stale, never in the way."""

import pytest

from cuda_kernels import ptx_cache

TEXT = ".version 9.0\n.visible .entry k(\n)\n{\n ret;\n}\n"


class Builder:
    """Compiles nothing, and counts how often."""

    def __init__(self, text: str = TEXT):
        self.text, self.calls = text, 0

    def __call__(self) -> str:
        self.calls += 1
        return self.text


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AMSSIM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ptx"


def test_a_kernel_is_compiled_once(folder):
    build = Builder()
    assert [ptx_cache.cached(("gemv", 1), build) for _ in range(3)] == [TEXT] * 3
    assert build.calls == 1
    assert len(list(folder.iterdir())) == 1, "no temporary file is left"


def test_other_options_and_other_sources_are_other_kernels(folder, monkeypatch):
    build = Builder()
    ptx_cache.cached(("gemv", 1), build)
    ptx_cache.cached(("gemv", 2), build)
    monkeypatch.setattr(ptx_cache, "stamp", lambda: "changed")
    ptx_cache.cached(("gemv", 1), build)
    assert build.calls == 3


@pytest.mark.parametrize("damage", [b"", TEXT[:-4].encode(), b"\xff\xfe", b"something else }"])
def test_a_damaged_file_is_made_anew(folder, damage):
    build = Builder()
    ptx_cache.cached(("gemv", 1), build)
    (file,) = folder.iterdir()
    file.write_bytes(damage)
    assert ptx_cache.cached(("gemv", 1), build) == TEXT
    assert build.calls == 2
    assert file.read_text() == TEXT


def test_where_nothing_can_be_written_kernels_are_compiled_every_time(tmp_path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("AMSSIM_CACHE_DIR", str(blocked))
    build = Builder()
    assert [ptx_cache.cached(("gemv", 1), build) for _ in range(2)] == [TEXT] * 2
    assert build.calls == 2


def test_the_stamp_names_sources_and_compilers():
    assert len(ptx_cache.stamp()) == 64


def test_the_stamp_sees_a_change_of_what_lies_elsewhere(monkeypatch):
    seen = []
    read = ptx_cache.Path.read_bytes
    monkeypatch.setattr(ptx_cache.Path, "read_bytes", lambda p: seen.append(p.name) or read(p))
    ptx_cache.stamp.__wrapped__()
    assert {"minifloat.py", "grids.py", "gemv.py", "decode.py"} <= set(seen)
