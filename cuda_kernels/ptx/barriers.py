"""Barriers in shared memory that count arrivals (mbarrier). PTX ISA 9.0, section 9.7.13.15.

A phase of a barrier ends when as many lanes as it was made for have arrived, and the next begins.
Who waits names a phase by its parity: the first is 0.
"""

import numpy as np

from cuda_kernels.emulator.lanes import WARP, lanes
from cuda_kernels.ptx.inline import ptx, u32


@ptx(
    "{ .reg .pred p; setp.ne.u32 p, $wanted, 0;"
    " @p mbarrier.init.shared::cta.b64 [$address], $count; }",
    ordered=True,
)
def make_barrier(address: u32, count: u32, wanted: u32):
    """A barrier of ``count`` arrivals, made by the one lane that ``wanted`` names."""
    for place in np.asarray(lanes(address, np.uint32))[lanes(wanted, np.uint32) != 0]:
        WARP.shared.make_barrier(int(place), int(lanes(count, np.uint32)[0]))


@ptx("mbarrier.arrive.release.cta.shared::cta.b64 _, [$address];", ordered=True)
def arrive(address: u32):
    """Arrive: what this lane has stored is visible to who waits."""
    for place in np.asarray(lanes(address, np.uint32)):
        WARP.shared.barriers[int(place)].arrive()


@ptx(
    "{ .reg .pred done; again:"
    " mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [$address], $parity;"
    " @!done bra again; }",
    ordered=True,
)
def wait_for_phase(address: u32, parity: u32):
    """Go on when the barrier's phase of that parity has ended."""
    WARP.shared.barriers[int(lanes(address, np.uint32)[0])].wait(int(lanes(parity, np.uint32)[0]))
