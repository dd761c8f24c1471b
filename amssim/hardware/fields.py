"""What a device profile states: every figure with its unit and the range physics allows."""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """Unit, smallest and largest believable value, and meaning of one figure."""

    unit: str
    low: float
    high: float
    meaning: str
    whole: bool = False  # whether only whole numbers make sense


#: Every figure of a profile. A CPU uses the same names: an SM is a core, a lane a 32-bit SIMD lane.
FIELDS = {
    "dram_bytes_per_s": Field("B/s", 1e9, 1e14, "peak DRAM bandwidth of the datasheet"),
    "dram_efficiency": Field("", 0.2, 1.0, "share of it that a long read reaches"),
    "load_latency_s": Field("s", 1e-9, 1e-5, "latency of a DRAM load under load"),
    "l2_bytes": Field("B", 1e5, 4e9, "last-level cache that a whole-device read can use"),
    "l2_bytes_per_s": Field("B/s", 1e9, 1e15, "bandwidth of that cache"),
    "l2_usable": Field("", 0.05, 2.0, "share of it where half of a cyclic read still hits"),
    "l2_sharpness": Field("", 0.5, 20.0, "exponent of the residency curve around its size"),
    "sms": Field("", 1, 2048, "streaming multiprocessors, compute units or CPU cores", True),
    "clock_hz": Field("Hz", 1e8, 1e10, "clock under a memory-bound load"),
    "issue_lanes": Field("1/clk", 1, 2048, "lanes that can start any instruction, per SM"),
    "alu_lanes": Field("1/clk", 1, 2048, "logic and shift lanes per SM"),
    "imad_lanes": Field("1/clk", 1, 2048, "integer multiply-add lanes per SM"),
    "half_lanes": Field("1/clk", 1, 4096, "FP16 multiply-add elements per SM"),
    "tensor_flops": Field("1/s", 1e9, 1e17, "dense FP16 matrix rate with FP32 accumulation"),
    "warps_per_sm": Field("", 1, 128, "resident warps (CPU: hardware threads per core)", True),
    "registers_per_sm": Field("", 16, 1e7, "32-bit registers per SM"),
    "shared_bytes_per_sm": Field("B", 1e3, 1e8, "shared memory per SM (CPU: L1 data cache)"),
    "launch_graph_s": Field("s", 0.0, 1e-3, "one more kernel in a graph (CPU: a parallel region)"),
    "launch_stream_s": Field("s", 0.0, 1e-3, "one more kernel launched one by one"),
}
