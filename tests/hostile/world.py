"""A small world to be hostile in: a model, a neighbour that nothing may touch, and the verbs."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from amssim.cli import main
from checkpoint.builders import INDEX, make_model, raw_file, split, weights

ONE, TWO = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
CONFIG = {"model_type": "llama", "hidden_size": 12, "architectures": ["LlamaForCausalLM"]}


class Result(NamedTuple):
    """What a verb did."""

    code: int
    out: str
    err: str


class World:
    """``model`` is a source of two shards, ``out`` an output that is not there yet."""

    def __init__(self, folder: Path):
        self.folder, self.model, self.out = folder, folder / "model", folder / "out"
        make_model(self.model, tensors(), CONFIG)
        self.precious = folder / "precious"
        (self.precious / "deep").mkdir(parents=True)
        (self.precious / "thesis.txt").write_text("years of work")
        (self.precious / ONE).write_text("not even a tensor")
        (self.precious / "deep" / INDEX).write_text("{}")
        os.link(self.precious / "thesis.txt", self.precious / "deep" / "again")

    def amssim(self, *argv: object) -> Result:
        """Run a verb in this process, from the folder of this world."""
        out, err = io.StringIO(), io.StringIO()
        before = os.getcwd()  # noqa: PTH109
        os.chdir(self.folder)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = main([str(word) for word in argv])
        finally:
            os.chdir(before)
        return Result(code, out.getvalue(), err.getvalue())

    def fails(self, code: int, words: str, *argv: object) -> Result:
        """Run a verb that must fail with one line that holds ``words``, and leave all as it was."""
        before = state(self.folder)
        result = self.amssim(*argv)
        assert (result.code, result.out) == (code, ""), result
        check_one_line(result.err)
        assert words in result.err, result.err
        assert state(self.folder) == before, changes(before, state(self.folder))
        return result

    def works(self, *argv: object, new: Iterable[Path] = ()) -> Result:
        """Run a verb that must work, and change nothing but what is ``new``."""
        before = state(self.folder, without=new)
        result = self.amssim(*argv)
        assert (result.code, result.err) == (0, ""), result
        after = state(self.folder, without=new)
        assert after == before, changes(before, after)
        return result

    def quantize(
        self, *options: object, src: Path | str = "model", dst: Path | str = "out"
    ) -> Path:
        """Quantise, check that the result verifies, and return it."""
        path = self.folder / dst
        self.works("quantize", src, dst, *options, new=[path])
        self.works("verify", dst)
        return path


def tensors() -> dict[str, dict[str, np.ndarray]]:
    """Two shards with something of each kind that is quantised, kept or copied."""
    one = {
        "model.embed_tokens.weight": weights(8, 12),
        "model.layers.0.up.weight": weights(5, 12, seed=1),
        "model.layers.0.norm.weight": weights(12, seed=2),
    }
    two = {
        "model.layers.1.experts.down": weights(2, 3, 12, seed=3),
        "model.layers.1.down.weight": weights(4, 70, seed=4, dtype="float32"),
        "model.layers.1.steps": np.array(7, np.int64),
        "lm_head.weight": weights(8, 12, seed=5, dtype="float16"),
    }
    return {ONE: one, TWO: two}


def state(folder: Path, without: Iterable[Path] = ()) -> dict[str, tuple[Any, ...]]:
    """Everything of every name below ``folder``: kind, mode, inode, links, owner, content."""
    found = {}
    skipped = set(without)
    for path in sorted(folder.rglob("*")):
        if skipped & {path, *path.parents}:
            continue
        status = path.lstat()
        what: tuple[Any, ...] = (status.st_mode, status.st_ino, status.st_nlink)
        if path.is_symlink():
            what += (str(path.readlink()),)
        elif path.is_file():
            what += (status.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        found[str(path.relative_to(folder))] = what[:2] if path.is_dir() else what
    return found


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names that differ, for messages."""
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


def check_one_line(err: str) -> None:
    """One sentence and nothing else, printable."""
    line = err.removesuffix("\n")
    assert line.startswith("amssim: error: ") and line.isprintable(), err
    assert "Traceback" not in err and "Errno" not in err, err
    assert len(line) < 2000, f"a line of {len(line)} characters"


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file; ``change`` may return another value or change its own."""
    value = json.loads(path.read_text())
    changed = change(value)
    path.write_text(json.dumps(value if changed is None else changed))


def change_header(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a file's header and leave its data."""
    header, data = split(path)
    changed = change(header)
    path.write_bytes(raw_file(header if changed is None else changed, data))


def flip(path: Path, byte: int, bit: int = 0) -> None:
    """Turn over one bit of a file; a negative byte counts from the end."""
    raw = bytearray(path.read_bytes())
    raw[byte] ^= 1 << bit
    path.write_bytes(bytes(raw))


def data_place(path: Path, name: str) -> int:
    """Where in a file the data of a tensor begins."""
    header, data = split(path)
    return path.stat().st_size - len(data) + header[name]["data_offsets"][0]
