"""PTX for every GPU since Ampere, assembled and disassembled without one."""

import os
import re
import shutil
import subprocess
import sysconfig
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pytest

from amssim.launch.stream import stream_depth
from cuda_kernels.forms import FP4_25, FP5_33, Form

pytest.importorskip("numba_cuda", reason="pip install '.[cuda]'")

from cuda_kernels.compile import compile_ptx
from cuda_kernels.kernel import kernel_named
from cuda_kernels.signature import signature

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


class Kernel(NamedTuple):
    """A kernel, and the registers that it may take on an sm_90."""

    name: str
    form: Form
    registers: int = 128
    capability: tuple[int, int] = (9, 0)

    def __str__(self) -> str:
        return f"{self.name}-{self.form.name}-sm_{self.capability[0]}{self.capability[1]}"

    def ptx(self) -> str:
        """Compile it, which takes 2 to 6 s."""
        name = self.name.split()[0].replace("block", "gemv").replace("dequantize", "dense")
        options, bounds = self.options()
        made = kernel_named(name).make(self.form, "float16", **options)
        return compile_ptx(made, tuple(signature(made).values()), self.capability, bounds)

    def options(self) -> tuple[dict, tuple[int, int]]:
        """What it is made for, and (threads, blocks per multiprocessor)."""
        if self.name == "stream":
            depth = stream_depth(self.form.group, 8)
            sizes = {"warps": 16, "team": 2, "x_tiles": 1, "depth": depth}
            return sizes | {"split": True}, (512, 1)
        early = {"early": self.capability >= (9, 0)}
        if self.name == "gemm":
            return early | {"x_tiles": 2, "warps": 16, "split": False}, (512, 1)
        if self.name == "dequantize":
            return early, (256, 2)
        together = 2 * (self.name == "block scales")
        ring = {"depth": 2 * self.name.endswith("ring"), "whole": "whole" in self.name}
        options = early | ring | {"team": 1, "split": False, "scale_units": together}
        return options, (768, 1) if together else (512, 2)


ON_HOPPER = [Kernel("gemv", FP4_25, 64), Kernel("gemv", FP5_33, 64), Kernel("gemm", FP5_33)]
ON_HOPPER += [Kernel("gemv ring", FP4_25, 64), Kernel("gemv ring", FP5_33, 64)]
ON_HOPPER += [Kernel("gemv whole ring", FP5_33, 64), Kernel("block scales", FP4_25, 80)]
ON_HOPPER += [Kernel("stream", FP4_25, 80), Kernel("stream", FP5_33, 80)]
ON_HOPPER += [Kernel("dequantize", FP5_33)]
#: The product on the oldest and newest; between, dense weights, which compile faster.
ELSEWHERE = [Kernel("gemv", FP4_25, capability=(8, 0)), Kernel("gemv", FP5_33, capability=(12, 0))]
ELSEWHERE += [Kernel("dequantize", FP5_33, capability=(8, 6))]
ELSEWHERE += [Kernel("dequantize", FP4_25, capability=c) for c in ((8, 9), (10, 0))]


@pytest.fixture(scope="module")
def texts() -> dict[Kernel, str]:
    """PTX of all kernels, compiled by two processes."""
    wanted = ON_HOPPER + ELSEWHERE
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return dict(zip(wanted, pool.map(Kernel.ptx, wanted), strict=True))


def assemble(text: str, capability, folder: Path) -> tuple[str, Path]:
    """Return what ptxas reports and the cubin."""
    source, cubin = folder / "k.ptx", folder / "k.cubin"
    source.write_text(text)
    arch = f"-arch=sm_{capability[0]}{capability[1]}"
    command = [tool("ptxas"), arch, "-v", "-o", cubin, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr, cubin


@pytest.mark.parametrize("kernel", ELSEWHERE, ids=str)
def test_other_architectures(kernel, texts, tmp_path):
    major, minor = kernel.capability
    assert f".target sm_{major}{minor}" in texts[kernel]
    assemble(texts[kernel], kernel.capability, tmp_path)


@pytest.mark.parametrize("kernel", ON_HOPPER, ids=str)
def test_registers_and_no_spills(kernel, texts, tmp_path):
    report, cubin = assemble(texts[kernel], kernel.capability, tmp_path)
    assert "0 bytes spill stores, 0 bytes spill loads" in report
    assert int(re.search(r"Used (\d+) registers", report)[1]) <= kernel.registers
    if kernel.name in BUDGET:
        per_weight = loop_instructions(cubin) / (8 * kernel.form.piece_weights)
        assert per_weight <= BUDGET[kernel.name][kernel.form]


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
