"""Count instructions per weight in the main loops of the CUDA kernels, for the simulator.

    python analysis/count_instructions.py

Compiles for sm_90 and disassembles; needs no GPU but the packages of ``amssim[cuda]``, nvdisasm
from the CUDA toolkit, and writes analysis/results/instructions.json and the counts of
amssim/simulator/kernels/ams.json. The main loop is the innermost one with the most tensor-core
instructions; rare branches inside it count in full.
"""

from __future__ import annotations

import collections
import json
import re
import shutil
import site
import subprocess
import sys
import tempfile
from pathlib import Path

from amssim.launch import Gpu, stream_depth
from cuda_kernels import FP4_25, FP5_33, kernel_named

OUTPUT = Path(__file__).parent / "results" / "instructions.json"
DESCRIPTOR = Path(__file__).parents[1] / "amssim" / "simulator" / "kernels" / "ams.json"
GPU = Gpu(sms=132, shared_bytes=232_448, capability=90)
#: A warp's share of one instruction is a 16 x 16 block of weights, 8 for each lane, times 8 columns
#: of x with mma.m16n8k16, times all of them with wgmma.
WEIGHTS_PER_MMA = 8
#: Block shapes of amssim.launch: (threads, blocks per multiprocessor) of the GEMV, and warps
#: of a block of the others in which each warp brings the least of x.
GEMV_BOUNDS, WARPS, STREAM_TEAM = (512, 2), 16, 2
#: Column tiles of 8 that are counted.
TILES = {"gemv": (1, 2), "stream": (1, 2), "gemm": (1, 4), "warpgroup": (1,)}
_ALU = {
    *("LOP3", "PLOP3", "SHF", "PRMT", "SEL", "MOV", "LEA", "IABS"),
    *("IADD", "IADD3", "VIADD", "ISETP", "IMNMX", "FMNMX", "VIMNMX"),
}
_TENSOR = ("HMMA", "HGMMA")
PIPES = ("issue", "alu", "imad", "half")
_LINE = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)(\S*)(.*);")


def disassemble(ptx: str) -> str:
    """Return the SASS of PTX text."""
    from cuda.core import Linker, LinkerOptions, ObjectCode

    arch = f"sm_{GPU.capability}" + ("a" if "wgmma" in ptx else "")
    options = LinkerOptions(arch=arch)
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
    most = max(sum(op.startswith(_TENSOR) for op in loop) for loop in loops)
    return min((x for x in loops if sum(op.startswith(_TENSOR) for op in x) == most), key=len)


def pipe_of(opcode: str) -> str:
    """The pipe of an opcode on compute capability 9.0, other for those that bind nothing here."""
    name = opcode.partition(".")[0]
    if name in ("IMAD", "FFMA", "FMUL", "FADD"):
        return "imad"
    if name in ("HFMA2", "HMUL2", "HADD2"):
        return "half"
    if name in _TENSOR:
        return "mma"
    return "alu" if name in _ALU else "other"


def count(ptx: str, x_tiles: int) -> dict:
    """Return instructions per weight by pipe, and what the loop holds."""
    loop = main_loop(disassemble(ptx))
    pipes = collections.Counter(map(pipe_of, loop))
    weights = pipes["mma"] / x_tiles * WEIGHTS_PER_MMA
    counts = {pipe: round(pipes[pipe] / weights, 3) for pipe in PIPES[1:]}
    return {
        "issue": round(len(loop) / weights, 3),
        **counts,
        "loop": len(loop),
        "mma": pipes["mma"],
    }


def ptx_of(form, kernel: str, x_tiles: int) -> str:
    """Return the PTX of a kernel for so many column tiles of x."""
    options, bounds = {"x_tiles": x_tiles, "split": kernel == "stream"}, (32 * WARPS, 1)
    if kernel == "gemv":
        options, bounds = options | {"early": True, "team": 1}, GEMV_BOUNDS
    else:
        options["warps"] = WARPS
    if kernel == "stream":
        options |= {"depth": stream_depth(form.group, 8 * x_tiles), "team": STREAM_TEAM}
    elif kernel == "gemm":
        options["early"] = True
    elif kernel == "warpgroup":
        options["groups"] = 1
    return kernel_named(kernel).ptx(GPU, bounds, form, "float16", **options)


def counts_of(form) -> dict[str, dict]:
    """Return the counts of a format's kernels by name and rows of x."""
    found = {}
    for kernel, several in TILES.items():
        for tiles in several:  # one wgmma serves all column tiles
            each = 1 if kernel == "warpgroup" else tiles
            found[f"{kernel}{8 * tiles}"] = count(ptx_of(form, kernel, tiles), each)
    return found


def per_weight(found: dict[str, dict], kernel: str) -> dict[str, float]:
    """Return instructions per weight as the simulator takes them, from a format's counts.

    What `mma.sync` takes for every column, reading x among it, is the slope between two counts.
    """
    columns = [8 * tiles for tiles in TILES[kernel]]
    few, many = found[f"{kernel}{columns[0]}"], found[f"{kernel}{columns[-1]}"]
    counts = {pipe: few[pipe] for pipe in PIPES}
    if len(columns) == 1:
        return counts
    slope = (many["issue"] - few["issue"]) / (columns[1] - columns[0])
    issue = round(few["issue"] - columns[0] * slope, 3)
    return counts | {"issue": issue, "issue_per_batch": round(slope, 4)}


def describe(counts: dict[str, dict]) -> None:
    """Write the counts into the simulator's description of our kernels."""
    described = json.loads(DESCRIPTOR.read_text())
    for variant in described["variants"]:
        kernel, form = variant["name"].split("-")
        found = per_weight(counts[form], kernel)
        variant["instructions"] = dict.fromkeys(variant["instructions"], found)
    DESCRIPTOR.write_text(json.dumps(described, indent=1) + "\n")


def main() -> None:
    counts = {form.name: counts_of(form) for form in (FP5_33, FP4_25)}
    record = {"command": "python analysis/count_instructions.py", "arch": "sm_90", "counts": counts}
    OUTPUT.write_text(json.dumps(record, indent=1) + "\n")
    describe(counts)
    print(json.dumps(counts, indent=1))


if __name__ == "__main__":
    main()
