"""A flipped bit in a packed model stops what computes with it, unless it is told not to look."""

import pytest
from cli_cases import write_files

from amssim.checkpoint import quantize_checkpoint
from amssim.cli import main
from amssim.cli.entry import make_parser
from amssim.quality.layers.sources import from_file
from checkpoint.builders import split

LINES = [
    "eval packed --tokens tokens.npy --windows 1 --length 8 --scheme fp4.25",
    "report packed --weights 4096 --output page.html",
    "report packed --weights 4096 --tokens tokens.npy --windows 1 --output page.html",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with a bit flipped in the words of a linear layer."""
    path = tmp_path_factory.mktemp("no_verify")
    write_files(path)
    quantize_checkpoint(path / "llama", path / "packed")
    (shard,) = (path / "packed").glob("*.safetensors")
    header, data = split(shard)
    name = next(name for name in header if name.endswith("up_proj.weight_packed"))
    raw = bytearray(shard.read_bytes())
    raw[len(raw) - len(data) + header[name]["data_offsets"][0]] ^= 1
    shard.write_bytes(raw)
    return path


@pytest.mark.parametrize("line", LINES)
def test_damage_is_found(folder, line, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(line.split()) == 1
    out, err = capsys.readouterr()
    assert out == "" and "is damaged: its checksum is" in err and err.count("\n") == 1
    assert not (folder / "page.html").exists()


def test_damage_is_passed_over_if_asked(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main([*LINES[0].split(), "--no-verify"]) == 0, capsys.readouterr().err
    assert len(list(from_file("packed", verify=False))) == 14
    assert make_parser().parse_args(["report", "packed", "--no-verify"]).verify is False
