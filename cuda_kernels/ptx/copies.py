"""Asynchronous copies to shared memory, and what makes them visible. PTX ISA 9.0, 9.7.9.25."""

import numpy as np

from cuda_kernels.emulator.lanes import WARP, lanes
from cuda_kernels.ptx.inline import ptx, u32, u64


@ptx(
    "{ .reg .pred p; setp.ne.u32 p, $possible, 0; .reg .u32 n; shl.b32 n, $wanted, 4;"
    " @p cp.async.cg.shared.global [$to], [$source], 16, n; }",
    ordered=True,
)
def start_copy(to: u32, source: u64, wanted: u32, possible: u32):
    """Start to copy 16 bytes to shared memory, or zeros, in the lanes where ``possible``.

    They come through L2 (.cg): L1 may hold what was there before this grid's turn.

    Args:
        to: address in shared memory.
        source: address in global memory, read where ``wanted`` is 1; where it is 0, zeros come.
        wanted, possible: 0 or 1.
    """
    allowed = np.asarray(lanes(possible, np.uint32)) != 0
    active = allowed & (np.asarray(lanes(wanted, np.uint32)) != 0)
    words = WARP.memory.load(source, 4, active=active)
    words = tuple(lanes(np.where(active, w, 0), np.uint32) for w in words)
    WARP.start_copy(to, words, allowed)


def _copy_own(size: int, cache: str):
    """Make the function that starts to copy ``size`` bytes per lane."""

    @ptx(
        "{ .reg .pred p; setp.ne.u32 p, $wanted, 0;"
        f" @p cp.async.{cache}.shared.global [$to], [$source], {size}; }}",
        ordered=True,
    )
    def copy_own(to: u32, source: u64, wanted: u32):
        """Start to copy bytes that this lane alone will read, where ``wanted``."""
        active = np.asarray(lanes(wanted, np.uint32)) != 0
        words = WARP.memory.load(source, size // 4, active=active)
        WARP.start_copy(to, words, active)

    return copy_own


#: bytes per lane -> function that starts to copy them for this lane alone: weights bypass L1
COPY_OWN = {16: _copy_own(16, "cg"), 4: _copy_own(4, "ca")}


@ptx("cp.async.commit_group;", ordered=True)
def end_group():
    """The copies of this lane since the last call are a group."""
    WARP.end_group()


def wait_for_all_but(groups: int):
    """Make the function that waits for all of this lane's groups but the last ``groups``."""

    @ptx(f"cp.async.wait_group {groups};", ordered=True)
    def wait():
        """Go on when this lane can read what those groups have copied."""
        WARP.land_copies(groups)

    return wait


@ptx("cp.async.commit_group; cp.async.wait_group 0; bar.warp.sync 0xffffffff;",
     ordered=True, collective=True)  # fmt: skip
def finish_copies():
    """Wait for the copies of this warp's lanes, which all of them then see."""
    WARP.end_group()
    WARP.land_copies(0)
    WARP.clocks.meet(WARP.number)


@ptx("fence.proxy.async.shared::cta;", ordered=True)
def publish():
    """Let the tensor cores see what this thread stored to shared memory, after a barrier."""
