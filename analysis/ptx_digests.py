"""Digests of the PTX of every CUDA kernel that plans ask for: what a change of the source changes.

    python analysis/ptx_digests.py [PART ...] [--check | --write] [--processes 2]

Prints a line for each kernel, form, dtype, architecture, block and options, with a digest in which
no name counts: of the entry, its parameters and device functions, nor comments. ``--check``
compares with analysis/results/ptx_digests.json, which ``--write`` makes; that says which compilers
it was made with, and only the same ones give the same PTX. Parts of lines choose some of them, as
in ``"gemv fp5.33" sm_80``. Needs no GPU, but the packages of ``amssim[cuda]``; all of them take
about half an hour on one core, and seconds again while their sources stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from amssim.launch import KERNEL_NAMES, Gpu, LaunchPlan, plan_launch
from cuda_kernels import FORMS, KernelProblem, kernel_named, plan_block_scales

RECORD = Path(__file__).parent / "results" / "ptx_digests.json"
COMPILERS = ("numba", "numba-cuda", "llvmlite", "nvidia-nvvm")
DTYPES = ("float16", "bfloat16", "float32")
BATCHES = (1, 1, 2, 3, 4, 6, 8, 9, 12, 16, 20, 32, 40, 64)
#: What differs between plans of GPUs; kernels start early from 90 on, and not before.
GPUS = (
    Gpu(132, 232_448, 90),
    Gpu(108, 166_912, 80),
    Gpu(128, 101_376, 89),
    Gpu(148, 232_448, 100),
    Gpu(170, 101_376, 120),
    Gpu(84, 101_376, 86),
)
OTHER_ARCHITECTURES = {90: (100, 120), 80: (86, 89)}
#: Fields of the minifloats that forms hold.
ELEMENTS = {
    form.name: (
        ("exponent_bits", form.element.exponent_bits),
        ("mantissa_bits", form.element.mantissa_bits),
    )
    for form in FORMS
}
PLANS, BLOCK_PLANS = 60_000, 6_000  # random products, and some with scales per block


class Build(NamedTuple):
    """One kernel to be compiled."""

    kernel: str
    form: str
    dtype: str
    capability: int
    bounds: tuple[int, int]
    options: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        options = " ".join(f"{name}={shown(value)}" for name, value in self.options)
        block = "x".join(map(str, self.bounds))
        line = f"{self.kernel} {self.form} {self.dtype} sm_{self.capability} {block} {options}"
        return line.rstrip()


def shown(value: Any) -> str:
    """An option in a line: numbers, and forms and dtypes by name."""
    return str(int(value)) if isinstance(value, int) else str(getattr(value, "name", value))


def planned() -> list[Build]:
    """The kernels that plans of random products ask for, with float16 results."""
    rng, found = random.Random(0), {}

    def note(plan: LaunchPlan, problem: KernelProblem, gpu: Gpu) -> None:
        name = KERNEL_NAMES[plan.kernel]
        options = tuple(sorted(kernel_named(name).options_of(plan, problem, gpu).items()))
        architecture, bounds = 90 if gpu.capability >= 90 else 80, (32 * plan.warps, plan.resident)
        found[Build(name, problem.form.name, "float16", architecture, bounds, options)] = True

    for _ in range(PLANS):
        gpu, form, _ = rng.choice(GPUS), rng.choice(FORMS), rng.random()
        sizes = (int(2 ** rng.uniform(0, 17)), int(2 ** rng.uniform(3, 16)), rng.choice(BATCHES))
        note(plan_launch(gpu, form.group, *sizes), KernelProblem(form, *sizes), gpu)
    for _ in range(BLOCK_PLANS):
        gpu, form = rng.choice(GPUS), rng.choice(FORMS)
        sizes = (int(2 ** rng.uniform(0, 17)), int(2 ** rng.uniform(3, 16)), rng.randint(1, 8))
        plan = plan_block_scales(gpu, form.group, *sizes)
        if plan.kernel:
            note(plan, KernelProblem(form, *sizes, scale_units=rng.choice((1, 2, 4))), gpu)
    return list(found)


def others() -> list[Build]:
    """The kernels that no plan names."""
    early = {90: (("early", True),), 80: (("early", False),)}
    dense = [
        Build("dense", form.name, "float16", architecture, (256, 2), options)
        for form in FORMS
        for architecture, options in early.items()
    ]
    rows = [
        Build("normalize", "-", dtype, architecture, (256, 1), options)
        for dtype in DTYPES[:2]
        for architecture, options in early.items()
    ]
    return dense + rows + moved() + plain()


def moved() -> list[Build]:
    """The kernels that bring weights to the order of the others, and back."""
    words = [
        Build(name, form.name, "-", 90, (64, 1), ())
        for name in ("pack", "unpack")
        for form in FORMS
    ]
    return words + [Build("scales", "-", "-", 90, (64, 1), (("back", b),)) for b in (False, True)]


def plain() -> list[Build]:
    """The kernels without tensor cores, with the minifloats that they serve."""
    element = (("exponent_bits", 3), ("mantissa_bits", 2))
    products = [
        Build("plain", "-", "float16", 90, (128, 1), tuple(sorted((*element, ("x_dtype", dtype)))))
        for dtype in DTYPES[:2]
    ]
    one_by_one = [
        Build("elements", "-", "float16", 90, (64, 1), tuple(sorted((*options, *shape))))
        for form, shape in ((None, element), *((form, ELEMENTS[form.name]) for form in FORMS))
        for options in ((("form", form), ("in_order", in_order)) for in_order in (False, True))
    ]
    return products + one_by_one


def builds() -> list[Build]:
    """All; other dtypes and architectures with the first options of each kernel and form."""
    several = planned() + others()
    first: dict[tuple[str, str, int], Build] = {}
    for build in several:
        if build.form != "-" and build.dtype != "-":
            first.setdefault((build.kernel, build.form, build.capability), build)
    for build in list(first.values()):
        several += [build._replace(dtype=dtype) for dtype in DTYPES[1:]]
        if build.kernel != "warpgroup":  # whose instruction one architecture has
            other = OTHER_ARCHITECTURES[build.capability]
            several += [build._replace(capability=c) for c in other]
    return sorted(set(several), key=str)


def digest(ptx: str) -> str:
    """Hash of PTX without its names and comments."""
    text = re.sub(r"//[^\n]*", "", ptx)
    entry = re.findall(r"\.visible \.entry (\S+)\(", text)[0]
    names: dict[str, str] = {}
    text = re.sub(
        r"\b_(?:Z|cudapy)[\w$]*",
        lambda name: names.setdefault(name[0], f"name{len(names)}"),
        text.replace(entry, "kernel"),
    )
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def compiled(build: Build) -> tuple[str, str]:
    """(line, digest) of a kernel."""
    first: list[Any] = [form for form in FORMS if form.name == build.form]
    first += [build.dtype] if build.dtype != "-" else []
    gpu = Gpu(1, 0, build.capability)
    kernel = kernel_named(build.kernel)
    return str(build), digest(kernel.ptx(gpu, build.bounds, *first, **dict(build.options)))


def versions() -> dict[str, str]:
    """Of what compiles."""
    return {name: metadata.version(name) for name in COMPILERS}


def difference(found: dict[str, str], whole: bool) -> list[str]:
    """What is not as recorded, line by line."""
    record = json.loads(RECORD.read_text())
    if record["versions"] != versions():
        sys.exit(f"{RECORD.name} was made with {record['versions']}, here are {versions()}")
    recorded = record["digests"]
    lines = [line for line in found if recorded.get(line) != found[line]]
    return lines + ([line for line in recorded if line not in found] if whole else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="compile lines that hold all of these only")
    parser.add_argument("--check", action="store_true", help="compare with what is recorded")
    parser.add_argument("--write", action="store_true", help="record all")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    wanted = [build for build in builds() if all(part in str(build) for part in given.parts)]
    found = {}
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        for line, value in pool.map(compiled, wanted):
            found[line] = value
            print(line, value, flush=True)
    if given.write and not given.parts:
        command = "python analysis/ptx_digests.py --write"
        record = {"command": command, "versions": versions(), "digests": found}
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    if given.check and (lines := difference(found, whole=not given.parts)):
        sys.exit("not as recorded:\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
