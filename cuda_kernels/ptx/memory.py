"""Memory and grid instructions. PTX ISA 9.0, sections 9.7.9 (data movement) and 9.7.13."""

import numpy as np
from llvmlite import ir
from numba.cuda.extending import intrinsic

from cuda_kernels.emulator.lanes import PATIENCE_S, WARP, lanes
from cuda_kernels.ptx.inline import Vector, f32, ptx, u32, u64

u32x4 = Vector(u32, 4)
f32x2, f32x4 = Vector(f32, 2), Vector(f32, 4)


# --- weights: read once, so they bypass L1, which then keeps what is read often ------------------


@ptx(
    "{ .reg .pred p; setp.ne.u32 p, $wanted, 0;"
    " @p ld.global.nc.L1::no_allocate.v4.u32 $out, [$address]; }",
    ordered=True,
)
def load_words_if(address: u64, wanted: u32) -> u32x4:
    """16 bytes of weights per lane where ``wanted``, else nothing: the result is then undefined.

    Without a prefetch hint: L2::256B costs 3 to 5 % of the bandwidth on an H200.
    A predicate and not a branch: a branch would end in copies that wait for the load.
    """
    return WARP.memory.load(address, 4, active=lanes(wanted, np.uint32) != 0)


@ptx(
    "{ .reg .pred p; setp.ne.u32 p, $wanted, 0;"
    " @p ld.global.nc.L1::no_allocate.u32 $out, [$address]; }",
    ordered=True,
)
def load_word_if(address: u64, wanted: u32) -> u32:
    """4 bytes per lane where ``wanted``, else undefined."""
    return WARP.memory.load(address, 1, active=lanes(wanted, np.uint32) != 0)[0]


@ptx(
    "{ .reg .pred p; setp.ne.u32 p, $wanted, 0; @p ld.global.nc.v2.f32 $out, [$address]; }",
    ordered=True,
)
def load_pair_if(address: u64, wanted: u32) -> f32x2:
    """Two scales per lane where ``wanted``, else undefined."""
    active = lanes(wanted, np.uint32) != 0
    return WARP.memory.load(address, 2, np.float32, active)


@ptx("ld.global.nc.f32 $out, [$address];")
def load_f32(address: u64) -> f32:
    """A scale, bias or other float32 that the grid only reads."""
    return WARP.memory.load(address, 1, np.float32)[0]


# --- outputs ----------------------------------------------------------------------------------


def rounded(value, dtype: str) -> np.ndarray:
    """Model: float32 register -> bits of the nearest float16, bfloat16 or float32."""
    x = np.asarray(lanes(value, np.float32))
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return x.astype(np.float16).view(np.uint16)
    if dtype == "float32":
        return x.view(np.uint32)
    bits = x.view(np.uint32).astype(np.uint64)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(x), 0x7FFF, nearest).astype(np.uint16)


def _store_as(dtype: str, convert: str, bits: int):
    @ptx(
        f"{{ .reg .pred p; .reg .b{bits} h; setp.ne.u32 p, $wanted, 0; {convert} h, $value;"
        f" @p st.global.b{bits} [$address], h; }}",
        ordered=True,
    )
    def store(address: u64, value: f32, wanted: u32):
        """Round a float32 to the output type and store it where ``wanted``."""
        active = lanes(wanted, np.uint32) != 0
        WARP.memory.store(address, (rounded(value, dtype),), f"u{bits // 8}", active)

    return store


#: dtype name -> function that rounds a float32 to it and stores it where a predicate holds
STORE = {
    "float16": _store_as("float16", "cvt.rn.f16.f32", 16),
    "bfloat16": _store_as("bfloat16", "cvt.rn.bf16.f32", 16),
    "float32": _store_as("float32", "mov.b32", 32),
}


# --- shared memory ------------------------------------------------------------------------------


@intrinsic
def shared_address(typing_context, array):
    """Address of a shared array as the shared-memory instructions take it."""
    from numba.cuda import types
    from numba.cuda.typing import signature

    def codegen(context, builder, found, values):
        data = context.make_array(found.args[0])(context, builder, value=values[0]).data
        pointer = builder.addrspacecast(data, data.type.pointee.as_pointer(3))
        return builder.ptrtoint(pointer, ir.IntType(32))

    return signature(types.uint32, array), codegen


shared_address.model = lambda array: lanes(0, np.uint32)


@ptx("mov.b32 $out, $value;", ordered=True)
def keep(value: u32) -> u32:
    """The same value, computed once: the compiler would recompute an address at every use."""
    return lanes(value, np.uint32)


@ptx("st.shared.v4.f32 [$address], $value;", ordered=True)
def store_shared(address: u32, value: f32x4):
    """Four floats to this block's shared memory."""
    WARP.shared.store(address, value, np.float32)


@ptx(
    "{ .reg .pred p; setp.ne.u32 p, $wanted, 0; @p st.shared.v2.f32 [$address], {$a, $b}; }",
    ordered=True,
)
def store_shared_f32(address: u32, a: f32, b: f32, wanted: u32):
    """Two floats to this block's shared memory where ``wanted``."""
    WARP.shared.store(address, (a, b), np.float32, lanes(wanted, np.uint32) != 0)


@ptx("ld.shared.v2.f32 $out, [$address];", ordered=True)
def load_shared_f32(address: u32) -> f32x2:
    """Two floats of this block's shared memory."""
    return WARP.shared.load(address, 2, np.float32)


@ptx("ld.shared.v4.f32 $out, [$address];", ordered=True)
def load_shared(address: u32) -> f32x4:
    """Four floats of this block's shared memory."""
    return WARP.shared.load(address, 4, np.float32)


@ptx("ld.shared.v4.u32 $out, [$address];", ordered=True)
def load_shared_words(address: u32) -> u32x4:
    """16 bytes of this block's shared memory."""
    return WARP.shared.load(address, 4)


@ptx("ld.shared.u32 $out, [$address];", ordered=True)
def load_shared_word(address: u32) -> u32:
    """4 bytes of this block's shared memory."""
    return WARP.shared.load(address, 1)[0]


@ptx(
    "{ .reg .b32 a; mapa.shared::cluster.u32 a, $address, $rank;"
    " ld.shared::cluster.v4.f32 $out, [a]; }",
    ordered=True,
)
def load_cluster(address: u32, rank: u32) -> f32x4:
    """Four floats from the same place of another block's shared memory, by rank in the cluster."""
    return WARP.cluster[int(rank)].load(address, 4, np.float32)


@ptx(
    "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;",
    ordered=True,
    collective=True,
)
def cluster_barrier():
    """Wait for all threads of the cluster; what they wrote to shared memory is visible."""
    WARP.cluster_barrier.wait(PATIENCE_S)


@ptx("barrier.cluster.arrive.relaxed.aligned;", ordered=True, collective=True)
def leave_cluster():
    """Tell the cluster that this warp has read what it needs of other blocks' shared memory."""


@ptx("barrier.cluster.wait.aligned;", ordered=True, collective=True)
def wait_for_cluster():
    """Wait until all warps of the cluster have left: this block's shared memory may then go."""
    WARP.cluster_barrier.wait(PATIENCE_S)


# --- programmatic dependent launch: this grid may start while the one before it still runs --------


@ptx("griddepcontrol.wait;", ordered=True)
def wait_for_previous_grid():
    """Go on when the grid before this one in the stream is done and its writes are visible."""


@ptx("griddepcontrol.launch_dependents;", ordered=True)
def start_next_grid():
    """Let the next grid of the stream start where this one leaves room."""
