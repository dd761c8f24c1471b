"""Bulk copies into shared memory that a barrier object counts (compute capability 9).

PTX ISA 9.0, sections 9.7.9.25 (cp.async.bulk) and 9.7.13.15 (mbarrier).
"""

import numpy as np

from cuda_kernels.inline import Vector, ptx, u32, u64
from cuda_kernels.lanes import WARP, lanes


def _state(address) -> np.ndarray:
    """View of a barrier in the model: [phases completed, bytes still to come]."""
    start = int(np.asarray(lanes(address, np.uint32))[0])
    return WARP.shared.bytes[start : start + 8].view(np.uint32)


@ptx(
    "{ .reg .pred p; setp.ne.u32 p, $wanted, 0;"
    " @p mbarrier.init.shared::cta.b64 [$barrier], 1;"
    " @p fence.mbarrier_init.release.cluster; }",
    ordered=True,
)
def barrier_init(barrier: u32, wanted: u32):
    """Make a barrier of 8 bytes that one arrival and its bytes complete."""
    if np.asarray(lanes(wanted, np.uint32)).any():
        _state(barrier)[:] = 0


@ptx(
    "{ .reg .pred p, q; .reg .b32 n, d; setp.ne.u32 p, $wanted, 0;"
    " setp.ne.and.u32 q, $bytes2, 0, p; add.u32 n, $bytes1, $bytes2; add.u32 d, $to, $bytes1;"
    " @p mbarrier.arrive.expect_tx.shared::cta.b64 _, [$barrier], n;"
    " @p cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
    " [$to], [$from1], $bytes1, [$barrier];"
    " @q cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
    " [d], [$from2], $bytes2, [$barrier]; }",
    ordered=True,
)
def fetch(barrier: u32, to: u32, from1: u64, bytes1: u32, from2: u64, bytes2: u32, wanted: u32):
    """Start copying two runs of global memory, one after the other, to shared memory.

    Sizes and addresses are multiples of 16. One lane asks for it: that where ``wanted``.
    """
    active = np.asarray(lanes(wanted, np.uint32)) != 0
    assert active.sum() <= 1, "one lane fetches"
    if not active.any():
        return
    place = int(np.asarray(lanes(to, np.uint32))[active][0])
    for source, size in ((from1, bytes1), (from2, bytes2)):
        start = int(np.asarray(lanes(source, np.uint64))[active][0]) - WARP.memory.base
        count = int(np.asarray(lanes(size, np.uint32))[active][0])
        inside = 0 <= start and start + count <= WARP.memory.bytes.size
        assert inside or not count, "bulk copy outside memory"
        assert not (start % 16 or place % 16 or count % 16), "misaligned bulk copy"
        WARP.shared.bytes[place : place + count] = WARP.memory.bytes[start : start + count]
        place += count
    _state(barrier)[0] += 1


@ptx(
    "{ .reg .pred p; wait_${:uid}:"
    " mbarrier.try_wait.parity.shared::cta.b64 p, [$barrier], $parity;"
    " @!p bra wait_${:uid}; }",
    ordered=True,
    collective=True,
)
def barrier_wait(barrier: u32, parity: u32):
    """Wait until the phase of this parity is complete and its bytes can be read."""
    completed = int(_state(barrier)[0])
    assert completed % 2 != int(np.asarray(lanes(parity, np.uint32))[0]), "a wait without end"


@ptx("ld.shared.v4.u32 $out, [$address];", ordered=True)
def load_shared_words(address: u32) -> Vector(u32, 4):
    """16 bytes per lane of shared memory."""
    return WARP.shared.load(address, 4)


@ptx("ld.shared.u32 $out, [$address];", ordered=True)
def load_shared_word(address: u32) -> u32:
    """4 bytes per lane of shared memory."""
    return WARP.shared.load(address, 1)[0]
