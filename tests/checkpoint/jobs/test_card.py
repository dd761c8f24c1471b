"""amssim.md, the page that quantising a directory writes for whoever finds the result."""

import shutil
import sys
from pathlib import Path

import pytest

from amssim.checkpoint import (
    dequantize_checkpoint,
    finish_checkpoint,
    inspect_checkpoint,
    quantize_checkpoint,
    seal_checkpoint,
    verify_checkpoint,
)
from amssim.checkpoint.jobs.card import source_name
from amssim.cli.entry import main
from amssim.errors import MismatchError
from checkpoint.builders import contents, make_model

CARD = "amssim.md"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = make_model(tmp_path_factory.mktemp("card") / "my-model")
    (path / "README.md").write_text("# My model\n")
    return path


def quantize(model, out, **options):
    quantize_checkpoint(model, out, "fp4.25", rules=["lm_head=fp5.33"], card=True, **options)
    return out


def test_it_says_what_runs_it_and_what_it_was_made_from(model, tmp_path):
    out = quantize(model, tmp_path / "out")
    text = (out / CARD).read_text()
    for said in ("# my-model, packed", "fp4.25-e2m2", "| fp5.33-e2m3 | 1 |", "import amssim.torch",
                 "amssim generate PATH", "adaptive search", "% of the parameters"):  # fmt: skip
        assert said in text
    assert str(model.parent) not in text and str(out) not in text
    assert (out / "README.md").read_text() == "# My model\n"
    assert verify_checkpoint(out, model).coverage.uncovered == ()
    assert not inspect_checkpoint(out).remarks


def test_it_is_part_of_the_set_and_stays_behind_when_weights_are_plain_again(model, tmp_path):
    out = quantize(model, tmp_path / "out")
    assert seal_checkpoint(out).rewritten == ()
    dequantize_checkpoint(out, tmp_path / "plain")
    assert not (tmp_path / "plain" / CARD).exists() and (tmp_path / "plain" / "README.md").exists()
    (out / CARD).write_text("other")
    with pytest.raises(MismatchError, match=r"amssim\.md was altered"):
        verify_checkpoint(out)


def test_its_bytes_depend_on_the_job_alone(model, tmp_path, monkeypatch):
    first = contents(quantize(model, tmp_path / "one", threads=1))
    copy = shutil.copytree(model, tmp_path / "elsewhere" / "my-model")
    monkeypatch.chdir(copy)
    assert contents(quantize(Path(), tmp_path / "two", threads=2)) == first
    for part in ("1/2", "2/2"):
        quantize(model, tmp_path / "three", part=part)
    finish_checkpoint(tmp_path / "three")
    assert contents(tmp_path / "three") == first


def test_the_command_writes_it_unless_told_not_to(model, tmp_path, capsys):
    assert main(["quantize", str(model), str(tmp_path / "one")]) == 0
    assert main(["quantize", str(model), str(tmp_path / "two"), "--no-card"]) == 0
    assert (tmp_path / "one" / CARD).exists() and not (tmp_path / "two" / CARD).exists()
    quantize_checkpoint(model, tmp_path / "three")
    assert contents(tmp_path / "two") == contents(tmp_path / "three")


@pytest.mark.parametrize(
    ("name", "called"),
    [("a`b|c<d>", "a_b_c_d_"), ("a\nb", "a_b"), ("a\udcffb", "a_b"), ("模型", "模型")],
)
def test_names_that_would_spoil_the_page(name, called):
    assert source_name(Path("models", name)) == called


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_directory_whose_name_is_no_text(model, tmp_path):
    source = shutil.copytree(model, tmp_path / "a\udcffb")
    assert "# a_b, packed" in (quantize(source, tmp_path / "out") / CARD).read_text()
