"""``amssim calibrate``: a profile that predictions read, whole or not at all."""

import json
import re
from pathlib import Path

import pytest

from amssim.cli import main
from amssim.errors import ResourceError
from amssim.hardware import FIELDS, profile
from bench.bench_cases import quick_calibration


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory, and a measurement that takes no time."""
    quick_calibration(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def amssim(capsys):
    def call(*words: str) -> tuple[int, str, str]:
        return (main(list(words)), *capsys.readouterr())

    return call


def test_a_profile_is_written_under_its_default_name(here, amssim):
    code, out, err = amssim("calibrate", "cpu", "--threads", "1")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "wrote this-cpu.json: amssim predict --gpu this-cpu.json"
    written = json.loads((here / "this-cpu.json").read_text())
    assert written["name"] == "this-cpu" and written["calibrated"] is True
    assert [p.name for p in here.iterdir()] == ["this-cpu.json"]
    shown = dict(re.findall(r"^(\w+) +[^ \n]* +([-+.e\d]+)$", out, re.M))
    for name in FIELDS:
        value = written["figures"][name]["value"]
        assert float(shown[name]) == pytest.approx(value, rel=1e-3), name


def test_predictions_read_it(here, amssim):
    assert amssim("calibrate", "cpu", "--threads", "1", "--name", "mine")[0] == 0
    code, out, _ = amssim("predict", "--gpu", "mine.json", "--shape", "512x512")
    assert code == 0 and "blas_f32" in out


def test_another_profile_stands_beside_it(here, amssim):
    _, out, _ = amssim("calibrate", "cpu", "--threads", "1", "--compare", "epyc-vm")
    head, *lines = out.splitlines()
    assert head.split() == ["figure", "unit", "measured", "epyc-vm", "ratio"]
    written = json.loads((here / "this-cpu.json").read_text())["figures"]
    other = profile("epyc-vm")
    for line in lines[:-1]:
        name, *_, theirs, ratio = line.split()
        assert float(theirs) == pytest.approx(other.value(name), rel=1e-3)
        expected = written[name]["value"] / other.value(name)
        assert float(ratio) == pytest.approx(expected, abs=0.006)


def test_a_file_is_replaced_only_by_force(here, amssim):
    (here / "this-cpu.json").write_text("mine")
    code, _, err = amssim("calibrate", "cpu", "--threads", "1")
    assert code == 4 and "this-cpu.json exists: give another --output, or --force" in err
    assert (here / "this-cpu.json").read_text() == "mine"
    assert amssim("calibrate", "cpu", "--threads", "1", "--force")[0] == 0
    assert json.loads((here / "this-cpu.json").read_text())["kind"] == "cpu"


def test_a_system_that_refuses_leaves_the_old_file(here, amssim, monkeypatch):
    (here / "this-cpu.json").write_text("mine")

    def refuse(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    code, out, err = amssim("calibrate", "cpu", "--threads", "1", "--force")
    assert code == 4 and out == ""
    assert err == "amssim: error: cannot write this-cpu.json: No space left on device\n"
    assert (here / "this-cpu.json").read_text() == "mine"


def test_a_machine_without_a_gpu_is_a_sentence_and_no_file(here, amssim, monkeypatch):
    def no_gpu(name, *, device):
        raise ResourceError(f"no GPU {device} for {name}")

    monkeypatch.setattr("amssim.bench.calibrate_gpu", no_gpu, raising=False)
    code, out, err = amssim("calibrate", "gpu", "--device", "3")
    assert (code, out, err) == (4, "", "amssim: error: no GPU 3 for this-gpu\n")
    assert not list(here.iterdir())
