"""GPUs before compute capability 9.0, whose blocks cannot share K: no measurement stands behind it.

The GEMV as on an H200; a GEMM from 9 rows of x, which a single block of the GEMV brings too slowly.
"""

from amssim.launch.geometry import GEMM, GEMV
from amssim.launch.tuning.h200 import COSTS, FP4_25, FP5_33, RULES
from amssim.launch.tuning.rule import Tuning, rule

OLDER = Tuning(
    name="older",
    record="none",
    sms=108,
    capability=80,
    rules=(
        rule(GEMM, FP4_25, batch=(9, 16)),
        rule(GEMM, FP5_33, batch=(9, 16)),
        *(r for r in RULES if r.kernel == GEMV),
    ),
    costs=COSTS,
)
