"""Runs continue from a staging folder that was altered: the same bytes, or a sentence."""

import json
import shutil
from random import Random

import pytest

from amssim import AmsError
from amssim.checkpoint import quantize_checkpoint
from amssim.checkpoint.jobs import execute
from amssim.checkpoint.safetensors.progress_lines import decode_lines, encode_line
from checkpoint.builders import contents, make_model
from fuzz.mutations import change_bytes, change_value


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A model, its quantised form, and a folder in which that is all but published."""
    root = tmp_path_factory.mktemp("begun")
    model, home = make_model(root / "model"), root / "home"
    quantize_checkpoint(model, root / "whole", "fp4.25", threads=1)
    home.mkdir()

    def full(*_):
        raise OSError("the disk is full")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError):
        patch.setattr(execute, "finish", full)
        quantize_checkpoint(model, home / "out", "fp4.25", threads=1)
    return model, contents(root / "whole"), home


@pytest.fixture
def altered(begun, tmp_path):
    """Return what continues a copy of the folder once ``alter`` has been at it."""
    model, whole, home = begun

    def go_on(alter) -> None:
        copy = shutil.copytree(home, tmp_path / "copy")
        (folder,) = copy.glob(".amssim-*")
        alter(folder)
        try:
            quantize_checkpoint(model, copy / "out", "fp4.25", threads=1)
        except AmsError as error:
            assert "\n" not in str(error) and "..." not in str(error)
        else:
            assert contents(copy / "out") == whole
            assert [path.name for path in copy.iterdir()] == ["out"]
        shutil.rmtree(copy)

    return go_on


def rewrite(folder, change) -> None:
    """Change finished tasks, each line with a checksum that fits."""
    path = folder / "progress.jsonl"
    lines, _ = decode_lines(path.read_bytes())
    path.write_bytes(b"".join(map(encode_line, change(lines))))


@pytest.mark.parametrize(
    "change",
    [{"number": -1}, {"number": True}, {"number": 10**6}, {"number": "0"}, {"crcs": [-1]},
     {"crcs": "0"}, {"crcs": None}, {"crcs": [0.0]}, {"source_crcs": [0]}, {"source_crcs": ["0"]}],
)  # fmt: skip
def test_a_line_that_no_task_has(altered, change):
    altered(lambda folder: rewrite(folder, lambda lines: [lines[0] | change, *lines[1:]]))
    altered(lambda folder: rewrite(folder, lambda lines: [*lines[:-1], lines[-1] | change]))


@pytest.mark.parametrize("seed", range(12))
def test_any_change_of_progress_job_or_files(altered, seed):
    rng = Random(seed)

    def change_lines(lines):
        lines = json.loads(json.dumps(lines))
        return [line for line in (change_value(line, rng) for line in lines) if encodable(line)]

    def change_file(folder):
        path = rng.choice([folder / "job.json", *sorted((folder / "files").iterdir())])
        path.write_bytes(change_bytes(path.read_bytes(), rng))

    altered(lambda folder: rewrite(folder, change_lines))
    altered(change_file)


def encodable(line) -> bool:
    try:
        return bool(encode_line(line))
    except ValueError:
        return False
