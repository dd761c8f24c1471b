"""The verbs as a user meets them, and files to run them on."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import tiny_llama
from amssim.cli.entry import make_parser
from checkpoint.builders import make_model, raw_file


def parsers(parser: argparse.ArgumentParser | None = None) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of every verb, and of what a verb measures."""
    parser = parser or make_parser()
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield parser
    for group in groups:
        for below in group.choices.values():
            yield from parsers(below)


def words(parser: argparse.ArgumentParser) -> list[str]:
    """The words after ``amssim`` that lead to a parser, without its arguments."""
    return parser.prog.split()[1:]


def write_files(folder: Path) -> None:
    """Leave in ``folder`` what verbs are called with."""
    make_model(folder / "model")
    (folder / "llama").mkdir()
    tiny_llama.write(folder / "llama")
    rng = np.random.default_rng(8)
    np.save(folder / "tokens.npy", rng.integers(0, 50, 1200))
    np.save(folder / "w.npy", rng.standard_normal((16, 48), np.float32))
    (folder / "broken.safetensors").write_bytes(raw_file(b"{]"))
    (folder / "text.txt").write_text("words")
    (folder / "mine.json").write_text("mine")


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` and what is in it."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b""
        for p in sorted(folder.rglob("*"))
    }
