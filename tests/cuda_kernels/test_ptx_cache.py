"""PTX on disk: read again, never stale, never in the way."""

import pytest

from cuda_kernels import ptx_cache

MODULE = "cuda_kernels.compile"
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
    assert [ptx_cache.cached(MODULE, ("gemv", 1), build) for _ in range(3)] == [TEXT] * 3
    assert build.calls == 1
    assert len(list(folder.iterdir())) == 1, "no temporary file is left"


def test_other_options_and_other_sources_are_other_kernels(folder, monkeypatch):
    build = Builder()
    ptx_cache.cached(MODULE, ("gemv", 1), build)
    ptx_cache.cached(MODULE, ("gemv", 2), build)
    monkeypatch.setattr(ptx_cache._sources, "stamp", lambda *modules: "changed")
    ptx_cache.cached(MODULE, ("gemv", 1), build)
    assert build.calls == 3


@pytest.mark.parametrize("damage", [b"", TEXT[:-4].encode(), b"\xff\xfe", b"something else }"])
def test_a_damaged_file_is_made_anew(folder, damage):
    build = Builder()
    ptx_cache.cached(MODULE, ("gemv", 1), build)
    (file,) = folder.iterdir()
    file.write_bytes(damage)
    assert ptx_cache.cached(MODULE, ("gemv", 1), build) == TEXT
    assert build.calls == 2
    assert file.read_text() == TEXT


def test_where_nothing_can_be_written_kernels_are_compiled_every_time(tmp_path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("AMSSIM_CACHE_DIR", str(blocked))
    build = Builder()
    assert [ptx_cache.cached(MODULE, ("gemv", 1), build) for _ in range(2)] == [TEXT] * 2
    assert build.calls == 2


def test_another_module_is_another_kernel(folder):
    build = Builder()
    ptx_cache.cached(MODULE, ("gemv", 1), build)
    ptx_cache.cached("cuda_kernels.ptx_cache", ("gemv", 1), build)
    assert build.calls == 2


def test_another_compiler_is_another_kernel(folder, monkeypatch):
    build = Builder()
    ptx_cache.cached(MODULE, ("gemv", 1), build)
    monkeypatch.setattr(ptx_cache, "versions", lambda: "numba 99")
    ptx_cache.cached(MODULE, ("gemv", 1), build)
    assert build.calls == 2


def test_the_versions_name_what_compiles():
    assert "numba " in ptx_cache.versions()
    assert "llvmlite " in ptx_cache.versions()
