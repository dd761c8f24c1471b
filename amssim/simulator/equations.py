"""The time of one matrix product, as scalar arithmetic that Python and Numba both execute.

y[batch, rows] = x[batch, columns] W[rows, columns]^T with W packed at ``bits`` per weight. Formulas
and their sources: docs/SIMULATOR.md. Nothing here checks its input, and only `math` is imported:
one prediction must not wait for Numba, and a sweep compiles these very functions (`compiled`).
"""

from __future__ import annotations

from math import ceil, sqrt

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
from amssim.simulator.quantities import (
    KERNEL_HZ,
    LOOP_COLUMNS,
    Cut,
    DeviceNumbers,
    KernelNumbers,
    Load,
    Terms,
)

#: Latency of a load that hits L2, as a share of one from DRAM: 206 to 312 of 552 clocks (A100), 274
#: of 625 (L40), 296 of 636 (RTX 4090), 280 to 500 of 690 (GH200; RRZE-HPC/gpu-benches gpu-latency).
L2_LATENCY = 0.45


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
    """Our launch plan for up to `GEMM_BATCH` rows of x."""
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
    """Seconds of the launches of a plan, one after another, for `GEMM_BATCH` rows of x each."""
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
