"""Shapes that the blocks of each kernel may have."""

from __future__ import annotations

from typing import NamedTuple


class GemvShape(NamedTuple):
    """The blocks of a GEMV."""

    threads: int
    resident: int  # blocks for which a multiprocessor has room
    blocks: int  # blocks of a grid for each multiprocessor
    team: int  # warps that take turns
    depth: int  # bursts in a ring in shared memory, 0 for one burst in registers


#: Weights in registers:
SINGLE = GemvShape(threads=512, resident=1, blocks=1, team=1, depth=0)
WIDE = SINGLE._replace(threads=1024)
#: In a ring in shared memory:
RING, WIDE_RING = SINGLE._replace(depth=3), WIDE._replace(depth=2)
TWO_RINGS = SINGLE._replace(resident=2, blocks=2, depth=2)
TWO_RINGS_IN_TEAMS = TWO_RINGS._replace(team=4)
TWO_LARGE, TWO_MIDDLE = (TWO_RINGS._replace(threads=n, depth=3) for n in (448, 384))
TWO_SMALL = TWO_RINGS._replace(threads=256, depth=4)
#: One block per multiprocessor, with room for one of the next grid, which starts to load early.
PAIRED = SINGLE._replace(resident=2, depth=2)
MIDDLE = PAIRED._replace(threads=384, depth=3)
SMALL, DEEP = (PAIRED._replace(threads=256, depth=depth) for depth in (4, 6))
GEMV_SHAPES = (
    SINGLE,
    WIDE,
    RING,
    WIDE_RING,
    TWO_RINGS,
    TWO_RINGS_IN_TEAMS,
    TWO_LARGE,
    TWO_MIDDLE,
    TWO_SMALL,
    PAIRED,
    MIDDLE,
    SMALL,
    DEEP,
)
#: Warps of a block of the GEMM by warp, and with 64 columns.
GEMM_WARPS, WIDE_GEMM_WARPS = (16, 14, 12, 10, 8, 6), (12, 8)
#: Of the GEMM by warpgroup: (warps of a block, groups of them that share K).
WARPGROUP_SHAPES = ((8, 1), (8, 2), (12, 1), (12, 3), (16, 1), (16, 2), (16, 4))
#: Of the stream: most warps of a block, and bursts that a warp keeps on their way.
STREAM_WARPS, STREAM_DEPTHS = (16, 20), (2, 3)
