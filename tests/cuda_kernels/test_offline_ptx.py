"""PTX for every GPU since Ampere, assembled and disassembled without one."""

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from cuda_kernels.forms import FP4_25, FP5_33

cuda = pytest.importorskip("numba.cuda")
if cuda.implementation != "NVIDIA":
    pytest.skip("numba-cuda is not installed: pip install '.[cuda]'", allow_module_level=True)

from cuda_kernels import kernels  # noqa: E402
from cuda_kernels.compile import compile_ptx  # noqa: E402
from cuda_kernels.dequantize import make_dequantize  # noqa: E402
from cuda_kernels.gemm import make_gemm  # noqa: E402
from cuda_kernels.gemv import make_gemv  # noqa: E402
from cuda_kernels.stream import make_stream  # noqa: E402

TOOLS = Path(sysconfig.get_paths()["purelib"]) / "nvidia" / "cu13" / "bin"
#: instructions per weight of the main loop, decode included; docs/KERNELS.md
BUDGET = {"gemv": {FP4_25: 1.65, FP5_33: 1.5}, "gemv ring": {FP4_25: 1.9, FP5_33: 1.82}}
BUDGET |= {"gemv whole ring": {FP5_33: 1.58}}
BUDGET |= {"stream": {FP4_25: 2.3, FP5_33: 2.32}}


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=TOOLS)
    if found is None:
        pytest.skip(f"{name} is not installed: pip install nvidia-cuda-nvcc nvidia-cuda-cuobjdump")
    return found


def product_ptx(form, capability):
    hopper = capability >= (9, 0)
    kernel = make_gemv(form, "float16", early=hopper, split=hopper, team=1)
    return compile_ptx(kernel, kernels.GEMV, capability, (512, 2))


def dense_ptx(form, capability):
    kernel = make_dequantize(form, "float16", early=capability >= (9, 0))
    return compile_ptx(kernel, kernels.DEQUANTIZE, capability, (256, 2))


def assemble(text: str, capability, folder: Path) -> tuple[str, Path]:
    """Return what ptxas reports and the cubin."""
    source, cubin = folder / "k.ptx", folder / "k.cubin"
    source.write_text(text)
    arch = f"-arch=sm_{capability[0]}{capability[1]}"
    command = [tool("ptxas"), arch, "-v", "-o", cubin, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr, cubin


def test_all_architectures(tmp_path):
    """The product on the oldest and newest; between, dense weights, which compile faster."""
    for i, capability in enumerate([(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)]):
        make = product_ptx if capability in ((8, 0), (12, 0)) else dense_ptx
        text = make((FP4_25, FP5_33)[i % 2], capability)
        assert f".target sm_{capability[0]}{capability[1]}" in text
        assemble(text, capability, tmp_path)


KERNELS = [("gemv", FP4_25, 64), ("gemv", FP5_33, 64), ("gemm", FP5_33, 128)]
KERNELS += [("gemv ring", FP4_25, 64), ("gemv ring", FP5_33, 64)]
KERNELS += [("gemv whole ring", FP5_33, 64)]
KERNELS += [("stream", FP4_25, 80), ("stream", FP5_33, 80)]
KERNELS += [("dequantize", FP5_33, 128), ("block scales", FP4_25, 80)]


@pytest.mark.parametrize(
    ("name", "form", "registers"), KERNELS, ids=lambda v: getattr(v, "name", str(v))
)
def test_registers_and_no_spills(name, form, registers, tmp_path):
    if name == "stream":
        options = {"warps": 16, "team": 2, "columns": 1, "depth": 2, "split": True}
        text = compile_ptx(
            make_stream(form, "float16", **options), kernels.STREAM, (9, 0), (512, 1)
        )
    elif name in BUDGET:
        depth, whole = 2 * name.endswith("ring"), "whole" in name
        options = {"split": False, "team": 1, "depth": depth, "whole": whole}
        kernel = make_gemv(form, "float16", early=True, **options)
        text = compile_ptx(kernel, kernels.GEMV, (9, 0), (512, 2))
    elif name == "block scales":
        options = {"early": True, "split": False, "team": 1, "scale_units": 2}
        text = compile_ptx(make_gemv(form, "float16", **options), kernels.GEMV, (9, 0), (768, 1))
    elif name == "gemm":
        kernel = make_gemm(form, "float16", columns=2, warps=16, early=True, split=False)
        text = compile_ptx(kernel, kernels.GEMM, (9, 0), (512, 1))
    else:
        kernel = make_dequantize(form, "float16", early=True)
        text = compile_ptx(kernel, kernels.DEQUANTIZE, (9, 0), (256, 2))
    report, cubin = assemble(text, (9, 0), tmp_path)
    assert "0 bytes spill stores, 0 bytes spill loads" in report
    assert int(re.search(r"Used (\d+) registers", report)[1]) <= registers
    if name in BUDGET:
        assert loop_instructions(cubin) / (8 * form.piece_weights) <= BUDGET[name][form]


def loop_instructions(cubin: Path) -> int:
    """Instructions between the loop's start and its backward branch, rare paths included."""
    command = [tool("cuobjdump"), "-sass", cubin]
    path = os.pathsep.join([os.environ.get("PATH", ""), str(TOOLS)])  # it calls nvdisasm
    environment = os.environ | {"PATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    listing = done.stdout
    lines = re.findall(r"^\s*/\*([0-9a-f]{4,5})\*/\s+(.*?);", listing, re.M)
    code = [(int(at, 16), text) for at, text in lines]
    jumps = [(int(m[1], 16), at) for at, text in code if (m := re.search(r"BRA.* (0x\w+)", text))]
    loops = [[t for at, t in code if a <= at <= b] for a, b in jumps if a < b]
    return len(max(loops, key=lambda body: sum("HMMA" in t for t in body)))
