"""The time of one matrix product, as scalar arithmetic that Python and Numba both execute.

y[rows, batch] = W[rows, columns] x[columns, batch] with W packed at ``bits`` per weight. Formulas
and their sources: docs/SIMULATOR.md. Nothing here checks its input, and only `math` is imported:
one prediction must not wait for Numba, and a sweep compiles these very functions (`compiled`).
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import NamedTuple

#: Length of the main loop that `Kernel.loop_s` is stated for, in weights of one row.
LOOP_COLUMNS = 4096.0
#: Clock that the times of a `Kernel` are stated at: they are cycles, so a faster clock takes less.
KERNEL_HZ = 1.8e9


class Device(NamedTuple):
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


class Kernel(NamedTuple):
    """One variant of a kernel; counts are lane-instructions per weight, times at `KERNEL_HZ`."""

    tile_rows: float  # rows of W that one CTA owns
    tile_batch: float  # columns of x that one CTA takes at once
    ctas_per_sm: float
    inflight_bytes: float  # that one CTA keeps requested
    max_split: float  # CTAs that may share one tile along K
    persistent: float  # 1 if as many CTAs as fit share the work evenly, 0 if one per tile
    max_tiles: float  # of a persistent CTA; more of them make another wave
    cluster_share: float  # of the SMs, that clusters of 4 and more can use
    early: float  # share of launch and first load that the kernel before hides
    mma_batch: float  # columns of one tensor-core instruction, 0 for none
    issue: float
    alu: float
    imad: float
    half: float
    issue_per_batch: float  # more of them for every column of x
    fixed_s: float  # beyond the bare launch and the first load
    wave_s: float  # start and end of one wave of CTAs
    loop_s: float  # latency of a main loop over LOOP_COLUMNS weights
    stage_s: float  # of copying LOOP_COLUMNS elements of x before it, for each column of x
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


def resident_share(device: Device, reuse_bytes: float) -> float:
    """Share of the weights that are still in L2, a logistic curve in log(bytes)."""
    return 1.0 / (1.0 + (reuse_bytes / device.l2_bytes) ** device.l2_sharpness)


def dram_rate(device: Device, kernel: Kernel, ctas: float) -> float:
    """Bytes per second with ``ctas`` CTAs loading: Little's law, saturating smoothly."""
    peak = device.dram_bytes_per_s * kernel.efficiency
    latency_bound = ctas * kernel.inflight_bytes / device.latency_s
    return peak / sqrt(1.0 + (peak / latency_bound) ** 2)


def norm(a: float, b: float, c: float, d: float, p: float) -> float:
    """(a^p + b^p + c^p + d^p)^(1/p), without overflow."""
    largest = max(a, b, c, d)
    s = (a / largest) ** p + (b / largest) ** p + (c / largest) ** p + (d / largest) ** p
    return largest * s ** (1.0 / p)


def instruction_s(device: Device, kernel: Kernel, weights: float, batch: float) -> float:
    """Seconds one SM needs for the instructions of ``weights``: its slowest pipe."""
    issue = (kernel.issue + kernel.issue_per_batch * batch) / device.issue_lanes
    alu = kernel.alu / device.alu_lanes
    imad = kernel.imad / device.imad_lanes
    half = kernel.half / device.half_lanes
    return weights * max(issue, alu, imad, half) / device.clock_hz


def tensor_s(device: Device, kernel: Kernel, weights: float, batch: float) -> float:
    """Seconds one SM's tensor cores need: idle columns of an instruction cost like used ones."""
    if kernel.mma_batch == 0.0:
        return 0.0
    columns = ceil(batch / kernel.mma_batch) * kernel.mma_batch
    return 2.0 * weights * columns * device.sms / device.tensor_flops


def wave(device: Device, kernel: Kernel, load: Load, split: float, rows: float, ctas: float):
    """(dram, l2, instructions, tensor, all) seconds of ``ctas`` CTAs of ``rows`` rows at once."""
    batch = min(load.batch, kernel.tile_batch)
    passes = ceil(load.batch / kernel.tile_batch)
    columns = load.columns / split
    weights = rows * columns
    hot = resident_share(device, load.reuse_bytes)
    weight_bytes = weights * load.bits / 8.0
    from_dram = (1.0 - hot) * weight_bytes / passes + 2.0 * batch * rows / split
    from_l2 = weight_bytes - (1.0 - hot) * weight_bytes / passes + 2.0 * batch * columns
    busiest = ceil(ctas / device.sms)
    dram = ctas * from_dram / dram_rate(device, kernel, ctas)
    l2 = ctas * from_l2 / device.l2_bytes_per_s
    instructions = busiest * instruction_s(device, kernel, weights, batch)
    tensor = busiest * tensor_s(device, kernel, weights, batch)
    return dram, l2, instructions, tensor, norm(dram, l2, instructions, tensor, kernel.overlap)


def cta_count(kernel: Kernel, load: Load, split: float) -> float:
    """CTAs of the launch."""
    return ceil(load.rows / kernel.tile_rows) * ceil(load.batch / kernel.tile_batch) * split


def latency_at(device: Device, kernel: Kernel, load: Load, split: float) -> Terms:
    """Seconds with the K range of every tile shared by ``split`` CTAs."""
    ctas, rows = cta_count(kernel, load, split), kernel.tile_rows
    slots = device.sms * kernel.ctas_per_sm
    if split > 2.0:
        slots = slots * kernel.cluster_share
    if kernel.persistent > 0.0 and ctas > slots:
        tiles = ceil(ctas / slots / ceil(ctas / slots / kernel.max_tiles))
        ctas, rows = ceil(ctas / tiles), rows * tiles
    full = ctas // slots
    last = ctas - full * slots
    dram, l2, instructions, tensor, one = wave(device, kernel, load, split, rows, min(ctas, slots))
    share = ctas / min(ctas, slots)
    tail = 0.0
    if last > 0.0 and full > 0.0:
        partial = wave(device, kernel, load, split, rows, last)[4]
        tail = kernel.tail * max(0.0, partial - one * last / slots)
    body = one * share + tail
    pace = KERNEL_HZ / device.clock_hz
    fixed = pace * kernel.fixed_s
    waves = pace * kernel.wave_s * (full + (last > 0.0))
    staged = kernel.stage_s * min(load.batch, kernel.tile_batch)
    loop = pace * (kernel.loop_s + staged) * load.columns / split / LOOP_COLUMNS
    if kernel.persistent > 0.0:
        loop *= full + (last > 0.0)  # the others overlap their waves
    reduce = 0.0
    if split > 1.0:
        workspace_bytes = 8.0 * load.batch * load.rows * split  # FP32, written and read
        reduce = pace * kernel.reduce_s + workspace_bytes / device.l2_bytes_per_s
    launch = (1.0 - kernel.early) * device.launch_s
    fill = (1.0 - kernel.early) * device.latency_s
    total = launch + fill + fixed + waves + loop + body + reduce
    return Terms(
        dram * share,
        l2 * share,
        instructions * share,
        tensor * share,
        body,
        tail,
        launch,
        fill,
        fixed,
        waves,
        loop,
        reduce,
        split,
        total,
    )


def latency(device: Device, kernel: Kernel, load: Load) -> Terms:
    """Seconds with the best split along K of 1, 2, 4, ... `Kernel.max_split`."""
    best = latency_at(device, kernel, load, 1.0)
    split = 2.0
    while split <= kernel.max_split:
        terms = latency_at(device, kernel, load, split)
        if terms.total < best.total:
            best = terms
        split *= 2.0
    return best
