"""What the equations take and give: numbers of a device, a kernel and a problem; seconds."""

from __future__ import annotations

from typing import NamedTuple

#: Length of the main loop that `KernelNumbers.loop_s` is stated for, in weights of one row.
LOOP_COLUMNS = 4096.0
#: Clock that times of a `KernelNumbers` are stated at: they are cycles, fewer at a faster clock.
KERNEL_HZ = 1.8e9


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
    tile_batch: float  # rows of x that one CTA takes at once
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
