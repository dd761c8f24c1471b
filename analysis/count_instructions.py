"""Count instructions per weight in the main loops of the CUDA kernels, for the simulator.

    python analysis/count_instructions.py

Compiles for sm_90 and disassembles; needs no GPU but the packages of ``amssim[cuda]``, nvdisasm
from the CUDA toolkit, and writes analysis/results/instructions.json. The main loop is the
innermost one with the most tensor-core instructions; rare branches inside it count in full.
"""

from __future__ import annotations

import collections
import inspect
import json
import re
import shutil
import site
import subprocess
import sys
import tempfile
from pathlib import Path

from cuda_kernels.compile import compile_ptx
from cuda_kernels.forms import FP4_25, FP5_33
from cuda_kernels.gemm import make_gemm
from cuda_kernels.gemv import make_gemv

OUTPUT = Path(__file__).parent / "results" / "instructions.json"
CAPABILITY = (9, 0)
#: One mma.m16n8k16 takes a 16 x 16 block of weights: 8 for each lane.
WEIGHTS_PER_MMA = 8
COLUMN_TILES = (2, 4, 8)
#: Block shapes of cuda_kernels.plan: (threads, blocks per multiprocessor), warps of a GEMM block.
GEMV_BOUNDS, GEMM_WARPS = (512, 2), {2: 16, 4: 16, 8: 12}
_WIDE = {"weights", "tails", "scales", "bias", "x", "x_scales", "out", "per_tile"}
_ALU = {
    *("LOP3", "PLOP3", "SHF", "PRMT", "SEL", "MOV", "LEA", "IABS"),
    *("IADD", "IADD3", "VIADD", "ISETP", "IMNMX", "FMNMX", "VIMNMX"),
}
_LINE = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)(\S*)(.*);")


def disassemble(ptx: str) -> str:
    """Return the SASS of PTX text."""
    from cuda.core import Linker, LinkerOptions, ObjectCode

    options = LinkerOptions(arch="sm_{}{}".format(*CAPABILITY))
    cubin = Linker(ObjectCode.from_ptx(ptx.encode()), options=options).link("cubin").code
    tool = shutil.which("nvdisasm") or _packaged("nvdisasm")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        done = subprocess.run([tool, "-hex", file.name], capture_output=True, text=True, check=True)
    return done.stdout


def _packaged(tool: str) -> str:
    found = [p for d in site.getsitepackages() for p in Path(d).glob(f"nvidia/*/bin/{tool}")]
    if not found:
        sys.exit(f"{tool} is not installed: pip install nvidia-cuda-nvdisasm")
    return str(found[0])


def main_loop(sass: str) -> list[str]:
    """Return the opcodes of the innermost loop with the most tensor-core instructions."""
    code, labels, targets = [], {}, []
    for line in sass.splitlines():
        if label := re.match(r"(\.L_x?_?\d+):", line.strip()):
            labels[label[1]] = len(code)
        elif found := _LINE.search(line):
            code.append(found[2] + found[3])
            if found[2] == "BRA" and (to := re.search(r"(\.L_x?_?\d+)", found[4])):
                targets.append((len(code), to[1]))
    loops = [code[labels[to] : end] for end, to in targets if labels.get(to, end) < end]
    most = max(sum(op.startswith("HMMA") for op in loop) for loop in loops)
    return min((x for x in loops if sum(op.startswith("HMMA") for op in x) == most), key=len)


def pipe_of(opcode: str) -> str:
    """The pipe of an opcode on compute capability 9.0, other for those that bind nothing here."""
    name = opcode.partition(".")[0]
    if name in ("IMAD", "FFMA", "FMUL", "FADD"):
        return "imad"
    if name in ("HFMA2", "HMUL2", "HADD2"):
        return "half"
    if name == "HMMA":
        return "mma"
    return "alu" if name in _ALU else "other"


def count(kernel, bounds: tuple[int, int], column_tiles: int) -> dict:
    """Return instructions per weight by pipe, and what the loop holds."""
    names = inspect.signature(kernel).parameters
    signature = tuple("uint64" if name in _WIDE else "uint32" for name in names)
    loop = main_loop(disassemble(compile_ptx(kernel, signature, CAPABILITY, bounds)))
    pipes = collections.Counter(map(pipe_of, loop))
    weights = pipes["mma"] / column_tiles * WEIGHTS_PER_MMA
    counts = {pipe: round(pipes[pipe] / weights, 3) for pipe in ("alu", "imad", "half")}
    return {
        "issue": round(len(loop) / weights, 3),
        **counts,
        "loop": len(loop),
        "mma": pipes["mma"],
    }


def main() -> None:
    counts = {}
    for form in (FP5_33, FP4_25):
        gemv = make_gemv(form, "float16", early=True, split=False, team=1)
        counts[form.name] = {"gemv": count(gemv, GEMV_BOUNDS, 1)}
        for tiles in COLUMN_TILES:
            kernel = make_gemm(
                form, "float16", columns=tiles, warps=GEMM_WARPS[tiles], early=True, split=False
            )
            counts[form.name][f"gemm{8 * tiles}"] = count(
                kernel, (32 * GEMM_WARPS[tiles], 1), tiles
            )
    record = {"command": "python analysis/count_instructions.py", "arch": "sm_90", "counts": counts}
    OUTPUT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(counts, indent=1))


if __name__ == "__main__":
    main()
