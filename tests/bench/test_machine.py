"""What a record says of the machine, where Linux tells much, little or nothing."""

import json
import os
import platform
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from amssim.bench import describe_gpu, describe_machine, machine, processor
from amssim.errors import ResourceError

CPUINFO = """\
processor\t: 0
model name\t: A fast one: 3 GHz
cpu family\t: 25
model\t\t: 17

processor\t: 1
model name\t: A fast one: 3 GHz
cpu family\t: 25
model\t\t: 17
flags
"""


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Make /proc/cpuinfo say something."""

    def tell(text: str) -> None:
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")

    return tell


def test_family_and_model_stand_behind_the_name(told):
    told(CPUINFO)
    assert machine.processor_name() == "A fast one: 3 GHz"
    assert processor() == "A fast one: 3 GHz (family 25, model 17)"


def test_a_name_without_a_family(told):
    told("model name : A plain one\n")
    assert processor() == "A plain one"
    told("model name : A plain one\ncpu family : 6\n")
    assert processor() == "A plain one (family 6, model ?)"


@pytest.mark.parametrize("text", ["", "Features : fp asimd\nCPU part : 0xd40\n", None])
def test_where_linux_does_not_tell_the_name_python_may(told, monkeypatch, tmp_path, text):
    if text is None:
        monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "no" / "cpuinfo")
    else:
        told(text)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert processor() == "aarch64"
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert processor() == "arm"
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "")
    assert processor() == "unknown"


def test_the_description_is_plain_data_and_true():
    described = describe_machine()
    assert json.loads(json.dumps(described)) == described
    assert described["processor"] == processor()
    assert 1 <= described["cpus"] <= os.cpu_count()
    assert described["python"] == platform.python_version()
    assert described["versions"]["numpy"] == version("numpy")


def test_cpus_are_those_of_this_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert describe_machine()["cpus"] == 3


def test_a_gpu_is_described_by_torch_and_the_driver(monkeypatch):
    properties = SimpleNamespace(multi_processor_count=132)
    cuda = SimpleNamespace(
        get_device_name=lambda: "A GPU", get_device_properties=lambda device: properties
    )
    monkeypatch.setattr(machine, "torch_or_error", lambda: SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(machine, "version", lambda package: f"{len(package)}.0")
    driver = pytest.importorskip("cuda.bindings.driver")
    monkeypatch.setattr(driver, "cuDriverGetVersion", lambda: (0, 13020))
    assert describe_gpu() == {
        "gpu": "A GPU",
        "multiprocessors": 132,
        "driver_cuda": "13.2",
        "versions": {
            "numba": "5.0",
            "numba-cuda": "10.0",
            "numpy": "5.0",
            "torch": "5.0",
            "cuda-bindings": "13.0",
        },
    }


def test_without_a_gpu_there_is_no_description(monkeypatch):
    def no_torch():
        raise ResourceError("PyTorch sees no GPU: see nvidia-smi")

    monkeypatch.setattr(machine, "torch_or_error", no_torch)
    with pytest.raises(ResourceError, match="sees no GPU"):
        describe_gpu()
