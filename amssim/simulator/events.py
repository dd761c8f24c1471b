"""One kernel launch, event by event: what the closed form's waves and tails are checked against.

CTAs take slots of SMs in launch order and hand them on when they end. Each keeps `DEPTH` chunks
of its weights requested; DRAM and L2 serve requests first come, first served, answers take a
latency that varies, and an SM works on one chunk at a time. Nothing here knows of waves, tails or
Little's law: they come out. What does not come out, launch, fixed and reduction costs, is the
same constant as in `equations`.
"""

from __future__ import annotations

import heapq
from math import ceil

import numpy as np

from amssim._jit import jit
from amssim.simulator import equations
from amssim.simulator.quantities import DeviceNumbers, KernelNumbers, Load

#: Chunks that one CTA keeps requested.
DEPTH = 4
#: Share of the latency that varies from request to request, exponentially.
JITTER = 0.3
_ARRIVED, _COMPUTED = 0, 1


def simulate(device: DeviceNumbers, kernel: KernelNumbers, load: Load, *, seed: int = 0) -> float:
    """Return seconds of one launch with the split along K that the closed form would take.

    Args:
        device, kernel, load: as `equations.latency`.
        seed: of the latencies' variation.

    >>> from amssim.hardware import profile
    >>> from amssim.simulator.descriptors import descriptor, device_numbers
    >>> kernel = descriptor("cublas_fp16").variants[0].kernel(profile("h200"), 16)
    >>> h200 = device_numbers(profile("h200"))
    >>> load = Load(28672.0, 4096.0, 1.0, 16.0, float("inf"))
    >>> 0.9 < simulate(h200, kernel, load) / equations.latency(h200, kernel, load).total < 1.1
    True
    """
    terms = equations.latency(device, kernel, load)
    cut = equations.cut_of(device, kernel, load, terms.split)
    weight_bytes = cut.passes * load.rows * load.columns * load.bits / 8 / cut.ctas
    missed = (1.0 - equations.resident_share(device, load.reuse_bytes)) / cut.passes
    from_dram = missed * weight_bytes + 2 * load.batch * load.rows / cut.ctas
    from_l2 = (1.0 - missed) * weight_bytes + 2 * cut.elements
    chunks = max(1, round(weight_bytes / (cut.inflight_bytes / DEPTH)))
    instructions = equations.instruction_s(device, kernel, cut)
    tensor = equations.tensor_s(device, kernel, cut)
    compute = instructions + tensor if kernel.in_turn else max(instructions, tensor)
    per_sm = ceil(cut.slots / device.sms)
    service_s = (
        from_dram / chunks / (device.dram_bytes_per_s * kernel.efficiency),
        from_l2 / chunks / device.l2_bytes_per_s,
        device.latency_s * (missed + (1.0 - missed) * equations.L2_LATENCY),
    )
    body = _run(
        int(cut.ctas),
        chunks,
        int(cut.slots / per_sm),
        per_sm,
        service_s,
        compute / chunks,
        equations.start_s(device, kernel, cut),
        np.random.default_rng(seed),
    )
    hidden = kernel.early * device.latency_s
    return terms.total - terms.fill - terms.body - terms.waves + body - hidden


@jit
def _request_chunk(queue, memory_free, asked, cta, at, service_s, rng):
    """Queue the arrival of a chunk that a CTA requests: memories serve it, the latency passes.

    queue: list of (float64 time, int64 kind, int64 cta)
    memory_free: float64[2] when DRAM and L2 are free again
    asked: int64[ctas] requests so far
    service_s: (float64 of DRAM, of L2, of the latency)
    """
    dram_s, l2_s, latency_s = service_s
    memory_free[0] = max(at, memory_free[0]) + dram_s
    memory_free[1] = max(at, memory_free[1]) + l2_s
    wait = latency_s * (1.0 - JITTER + JITTER * rng.exponential(1.0))
    asked[cta] += 1
    heapq.heappush(queue, (max(memory_free[0], memory_free[1]) + wait, _ARRIVED, cta))


@jit
def _run(ctas, chunks, sms, per_sm, service_s, compute_s, start_s, rng):
    """Seconds from the first request to the last chunk computed.

    ctas, chunks, sms, per_sm: int64 CTAs, chunks of each, SMs and CTAs one of them holds
    service_s: (float64 of DRAM, of L2, of the latency) for one chunk
    compute_s, start_s: float64 of a chunk's products, and of a CTA before its first request
    rng: numpy Generator of the latencies' variation
    """
    queue = [(0.0, 0, 0)]
    queue.clear()
    asked = np.zeros(ctas, np.int64)
    arrived = np.zeros(ctas, np.int64)
    computed = np.zeros(ctas, np.int64)
    busy = np.zeros(ctas, np.bool_)
    home = np.zeros(ctas, np.int64)
    sm_free = np.zeros(sms)
    memory_free = np.zeros(2)
    started = min(ctas, sms * per_sm)
    for cta in range(started):
        home[cta] = cta % sms
    for _ in range(DEPTH):
        for cta in range(started):
            if asked[cta] < chunks:
                _request_chunk(queue, memory_free, asked, cta, start_s, service_s, rng)
    now = 0.0
    while len(queue) > 0:
        now, kind, cta = heapq.heappop(queue)
        if kind == _ARRIVED:
            arrived[cta] += 1
        else:
            computed[cta] += 1
            busy[cta] = False
            if asked[cta] < chunks:
                _request_chunk(queue, memory_free, asked, cta, now, service_s, rng)
            if computed[cta] == chunks and started < ctas:
                home[started] = home[cta]
                for _ in range(min(DEPTH, chunks)):
                    at = now + start_s
                    _request_chunk(queue, memory_free, asked, started, at, service_s, rng)
                started += 1
        if not busy[cta] and arrived[cta] > computed[cta]:
            busy[cta] = True
            sm_free[home[cta]] = max(now, sm_free[home[cta]]) + compute_s
            heapq.heappush(queue, (sm_free[home[cta]], _COMPUTED, cta))
    return now
