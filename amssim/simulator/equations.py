"""The time of one matrix product, as scalar arithmetic that Python and Numba both execute.

y[rows, batch] = W[rows, columns] x[columns, batch] with W packed at ``bits`` per weight. Formulas
and their sources: docs/SIMULATOR.md. Nothing here checks its input, and only `math` is imported:
one prediction must not wait for Numba, and a sweep compiles these very functions (`compiled`).
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import NamedTuple

from amssim.launch.choose import plan_launch
from amssim.launch.geometry import (
    EXACT_KERNELS,
    GEMM_BATCH,
    STATIC_BYTES,
    TILE_ROWS,
    UNIT_BYTES,
    Gpu,
    LaunchPlan,
    unit_columns,
)

#: Length of the main loop that `KernelNumbers.loop_s` is stated for, in weights of one row.
LOOP_COLUMNS = 4096.0
#: Clock that times of a `KernelNumbers` are stated at: they are cycles, fewer at a faster clock.
KERNEL_HZ = 1.8e9
#: Latency of a load that hits L2, as a share of one from DRAM: 206 to 312 of 552 clocks (A100), 274
#: of 625 (L40), 296 of 636 (RTX 4090), 280 to 500 of 690 (GH200; RRZE-HPC/gpu-benches gpu-latency).
L2_LATENCY = 0.45


class DeviceNumbers(NamedTuple):
    """What the equations know of a processor; rates are of the whole device, lanes of one SM."""

    dram_bytes_per_s: float  # what a long, well-fed read reaches, not the datasheet's
    latency_s: float  # of a load under load: Little's law
    l2_bytes: float
    l2_bytes_per_s: float
    l2_sharpness: float  # exponent of the logistic residency curve
    sms: float
    clock_hz: float
    issue_lanes: float
    alu_lanes: float
    imad_lanes: float
    half_lanes: float
    tensor_flops: float
    launch_s: float
    shared_bytes: float  # of one SM
    capability: float  # ten times CUDA's, 0 for none


class KernelNumbers(NamedTuple):
    """One variant of a kernel; counts are lane-instructions per weight, times at `KERNEL_HZ`."""

    group: float  # weights that share a bit in our formats: the launch plan cuts; 0 for tiles
    tile_rows: float  # rows of W that one CTA owns
    tile_batch: float  # columns of x that one CTA takes at once
    ctas_per_sm: float
    inflight_bytes: float  # that one CTA keeps requested
    inflight_share: float  # or: share of an SM's shared memory that its CTAs keep requested
    max_split: float  # CTAs that may share one tile along K
    early: float  # share of launch and first load that the kernel before hides
    mma_batch: float  # columns of one tensor-core instruction, 0 for none
    mma_share: float  # of the tensor cores' rate that its instructions reach
    in_turn: float  # 1 if a warp decodes and multiplies in turn, 0 if it does both at once
    issue: float
    alu: float
    imad: float
    half: float
    issue_per_batch: float  # more of them for every column of x
    issue_per_x: float  # instructions per element of x that a CTA brings
    fixed_s: float  # beyond the bare launch and the first load
    wave_s: float  # start and end of one wave of CTAs
    loop_s: float  # latency of a main loop over LOOP_COLUMNS weights
    stage_s: float  # of bringing LOOP_COLUMNS elements of x before it
    reduce_s: float  # of a split along K
    efficiency: float  # share of the device's DRAM rate that this access pattern reaches
    overlap: float  # exponent of the norm that joins the terms: 1 adds, infinity takes the largest
    tail: float  # how much of a partial last wave shows: 0 none of it, 1 all


class Load(NamedTuple):
    """The problem: W is rows x columns; ``reuse_bytes`` pass between two uses of one weight."""

    rows: float
    columns: float
    batch: float
    bits: float
    reuse_bytes: float  # infinite when the weights are cold


class Cut(NamedTuple):
    """How the problem is cut; counts, all but the first three of one CTA."""

    ctas: float
    split: float  # CTAs that share K
    slots: float  # CTAs that run at a time
    weights: float  # those past the edges included
    elements: float  # of x
    columns: float  # of x that it multiplies by, idle ones included
    inflight_bytes: float
    passes: float  # over the weights, by all CTAs


class Terms(NamedTuple):
    """Seconds; the five of the body are what each resource needs alone."""

    dram: float
    l2: float
    instructions: float
    tensor: float
    body: float  # these four joined, over all waves
    tail: float  # part of the body that the last, partial wave takes beyond its share
    launch: float
    fill: float  # until the first bytes arrive
    fixed: float
    waves: float
    loop: float
    reduce: float
    split: float  # CTAs along K: a count, not a time
    total: float


def tiled_cut(device: DeviceNumbers, kernel: KernelNumbers, load: Load, split: float) -> Cut:
    """One CTA per tile and ``split``-th part of K."""
    batch = min(load.batch, kernel.tile_batch)
    passes = float(ceil(load.batch / kernel.tile_batch))
    tiles = ceil(load.rows / kernel.tile_rows) * passes
    columns = load.columns / split
    width = max(1.0, kernel.mma_batch)
    inflight = kernel.inflight_bytes
    if kernel.inflight_share > 0.0:
        inflight = kernel.inflight_share * device.shared_bytes / kernel.ctas_per_sm
    ctas, slots = tiles * split, device.sms * kernel.ctas_per_sm
    weights, multiplied = kernel.tile_rows * columns, ceil(batch / width) * width
    return Cut(ctas, split, slots, weights, batch * columns, multiplied, inflight, passes)


def product_plan(device: DeviceNumbers, kernel: KernelNumbers, load: Load) -> LaunchPlan:
    """Our launch plan for up to `GEMM_BATCH` columns of x."""
    room = int(device.shared_bytes) - STATIC_BYTES
    gpu = Gpu(int(device.sms), room, int(device.capability))
    batch = int(min(load.batch, GEMM_BATCH))
    return plan_launch(gpu, int(kernel.group), int(load.rows), int(load.columns), batch)


def planned_cut(kernel: KernelNumbers, load: Load, plan: LaunchPlan) -> Cut:
    """How a launch plan cuts the problem."""
    columns = unit_columns(int(kernel.group))
    exact = plan.kernel in EXACT_KERNELS
    brought = min(load.batch, GEMM_BATCH) if exact else float(plan.columns)
    return Cut(
        float(plan.splits * plan.blocks),
        float(plan.splits),
        float(plan.slots),
        float(plan.units * TILE_ROWS * columns),
        brought * float(plan.slice_units * columns),
        float(plan.columns),
        float(plan.warps * plan.loads * UNIT_BYTES),
        1.0,
    )


def resident_share(device: DeviceNumbers, reuse_bytes: float) -> float:
    """Share of the weights that are still in L2, a logistic curve in log(bytes)."""
    passed: float = (reuse_bytes / device.l2_bytes) ** device.l2_sharpness
    return 1.0 / (1.0 + passed)


def dram_rate(device: DeviceNumbers, kernel: KernelNumbers, inflight_bytes: float) -> float:
    """Bytes per second with so many requested: Little's law, saturating smoothly."""
    peak = device.dram_bytes_per_s * kernel.efficiency
    latency_bound = inflight_bytes / device.latency_s
    return peak / sqrt(1.0 + (peak / latency_bound) ** 2)


def l2_rate(device: DeviceNumbers, inflight_bytes: float) -> float:
    """The same of weights that L2 holds: they take `L2_LATENCY` of the time."""
    latency_bound = inflight_bytes / (L2_LATENCY * device.latency_s)
    return device.l2_bytes_per_s / sqrt(1.0 + (device.l2_bytes_per_s / latency_bound) ** 2)


def norm(a: float, b: float, c: float, d: float, p: float) -> float:
    """(a^p + b^p + c^p + d^p)^(1/p), without overflow."""
    largest = max(a, b, c, d)
    s = (a / largest) ** p + (b / largest) ** p + (c / largest) ** p + (d / largest) ** p
    root: float = s ** (1.0 / p)
    return largest * root


def instruction_s(device: DeviceNumbers, kernel: KernelNumbers, cut: Cut) -> float:
    """Seconds one SM needs for the instructions of one CTA: its slowest pipe, and bringing x."""
    issue = (kernel.issue + kernel.issue_per_batch * cut.columns) / device.issue_lanes
    alu, imad = kernel.alu / device.alu_lanes, kernel.imad / device.imad_lanes
    slowest = max(issue, alu, imad, kernel.half / device.half_lanes)
    for_x = cut.elements * kernel.issue_per_x / device.issue_lanes
    return (cut.weights * slowest + for_x) / device.clock_hz


def tensor_s(device: DeviceNumbers, kernel: KernelNumbers, cut: Cut) -> float:
    """Seconds its tensor cores need: idle columns of an instruction cost like used ones."""
    if kernel.mma_batch == 0.0:
        return 0.0
    flops_per_s = device.tensor_flops * kernel.mma_share / device.sms
    return 2.0 * cut.weights * cut.columns / flops_per_s


def wave(
    device: DeviceNumbers, kernel: KernelNumbers, load: Load, cut: Cut, ctas: float
) -> tuple[float, float, float, float, float]:
    """(dram, l2, instructions, tensor, all) seconds of ``ctas`` CTAs that run at once.

    A warp decodes and then multiplies, so that both add on an SM; memory works beside them.
    """
    share = ctas / cut.ctas
    weight_bytes = load.rows * load.columns * load.bits / 8.0
    from_dram = (1.0 - resident_share(device, load.reuse_bytes)) * weight_bytes
    from_l2, of_x = cut.passes * weight_bytes - from_dram, 2.0 * cut.elements * cut.ctas
    written = 2.0 * load.batch * load.rows
    dram = share * (from_dram + written) / dram_rate(device, kernel, ctas * cut.inflight_bytes)
    l2 = share * from_l2 / l2_rate(device, ctas * cut.inflight_bytes)
    l2 += share * of_x / device.l2_bytes_per_s
    busiest = ceil(ctas / device.sms)
    instructions = busiest * instruction_s(device, kernel, cut)
    tensor = busiest * tensor_s(device, kernel, cut)
    together = tensor * kernel.in_turn
    body = norm(dram, l2, instructions + together, tensor - together, kernel.overlap)
    return dram, l2, instructions, tensor, body


def start_s(device: DeviceNumbers, kernel: KernelNumbers, cut: Cut) -> float:
    """Seconds before a CTA's main loop, and of its end."""
    staged = kernel.stage_s * cut.elements / LOOP_COLUMNS
    return KERNEL_HZ / device.clock_hz * (kernel.wave_s + staged)


def time_of(device: DeviceNumbers, kernel: KernelNumbers, load: Load, cut: Cut) -> Terms:
    """Seconds of one launch of a problem that is cut so."""
    ctas, slots = cut.ctas, cut.slots
    full = ctas // slots
    last = ctas - full * slots
    dram, l2, instructions, tensor, one = wave(device, kernel, load, cut, min(ctas, slots))
    share = ctas / min(ctas, slots)
    tail = 0.0
    if last > 0.0 and full > 0.0:
        partial = wave(device, kernel, load, cut, last)[4]
        tail = kernel.tail * max(0.0, partial - one * last / slots)
    body = one * share + tail
    pace = KERNEL_HZ / device.clock_hz
    fixed = pace * kernel.fixed_s
    waves = start_s(device, kernel, cut) * (full + (last > 0.0))
    loop = pace * kernel.loop_s * load.columns / cut.split / LOOP_COLUMNS
    reduce = 0.0
    if cut.split > 1.0:
        workspace_bytes = 8.0 * load.batch * load.rows * cut.split  # FP32, written and read
        reduce = pace * kernel.reduce_s + workspace_bytes / device.l2_bytes_per_s
    hidden = 1.0 - kernel.early
    begin, fill = hidden * device.launch_s, hidden * device.latency_s
    total = begin + fill + fixed + waves + loop + body + reduce
    busy = (dram * share, l2 * share, instructions * share, tensor * share)
    return Terms(*busy, body, tail, begin, fill, fixed, waves, loop, reduce, cut.split, total)


def cut_of(device: DeviceNumbers, kernel: KernelNumbers, load: Load, split: float) -> Cut:
    """The cut of our launch plan, or tiles with K in ``split`` parts."""
    if kernel.group > 0.0:
        return planned_cut(kernel, load, product_plan(device, kernel, load))
    return tiled_cut(device, kernel, load, split)


def planned_latency(
    device: DeviceNumbers, kernel: KernelNumbers, load: Load, plan: LaunchPlan
) -> Terms:
    """Seconds of the launches of a plan, one after another, for `GEMM_BATCH` columns of x each."""
    batch, n = min(load.batch, float(GEMM_BATCH)), float(ceil(load.batch / GEMM_BATCH))
    once = Load(load.rows, load.columns, batch, load.bits, load.reuse_bytes)
    t = time_of(device, kernel, once, planned_cut(kernel, once, plan))
    body = (n * t.dram, n * t.l2, n * t.instructions, n * t.tensor, n * t.body, n * t.tail)
    costs = (n * t.launch, n * t.fill, n * t.fixed, n * t.waves, n * t.loop, n * t.reduce)
    return Terms(*body, *costs, t.split, n * t.total)


def tiled_latency(device: DeviceNumbers, kernel: KernelNumbers, load: Load) -> Terms:
    """Seconds with the best split along K of 1, 2, 4, ... `KernelNumbers.max_split`."""
    best = time_of(device, kernel, load, tiled_cut(device, kernel, load, 1.0))
    split = 2.0
    while split <= kernel.max_split:
        terms = time_of(device, kernel, load, tiled_cut(device, kernel, load, split))
        if terms.total < best.total:
            best = terms
        split *= 2.0
    return best


def latency(device: DeviceNumbers, kernel: KernelNumbers, load: Load) -> Terms:
    """Seconds as our plan cuts the product, or in tiles."""
    if kernel.group > 0.0:
        return planned_latency(device, kernel, load, product_plan(device, kernel, load))
    return tiled_latency(device, kernel, load)
