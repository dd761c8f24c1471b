"""Devices, kernels and loads that the simulator's tests draw from."""

from hypothesis import strategies as st

from amssim.hardware import profile
from amssim.simulator.descriptors import device_numbers
from amssim.simulator.quantities import KernelNumbers, Load

COLD = float("inf")
H200 = device_numbers(profile("h200"))
PLAIN = KernelNumbers(
    group=0.0,
    tile_rows=16.0,
    tile_batch=8.0,
    ctas_per_sm=8.0,
    inflight_bytes=8192.0,
    inflight_share=0.0,
    max_split=1.0,
    early=0.0,
    mma_batch=8.0,
    mma_share=1.0,
    in_turn=0.0,
    issue=1.5,
    alu=1.0,
    imad=0.3,
    half=0.0,
    issue_per_batch=0.0,
    issue_per_x=0.0,
    fixed_s=1e-6,
    wave_s=0.0,
    loop_s=0.0,
    stage_s=0.0,
    reduce_s=1e-6,
    efficiency=1.0,
    overlap=4.0,
    tail=1.0,
)


def loads():
    """Draw products from tiny to large."""
    return st.builds(
        Load,
        rows=st.integers(1, 2**16).map(float),
        columns=st.integers(1, 2**15).map(float),
        batch=st.integers(1, 128).map(float),
        bits=st.floats(1, 16),
        reuse_bytes=st.sampled_from([COLD, 1e6, 1e8]),
    )


def kernels():
    """Draw kernels around the plain one, of tiles and of our own plan."""
    return st.builds(
        lambda group, rows, batch, ctas, split, mma, in_turn, overlap: PLAIN._replace(
            group=group,
            tile_rows=rows,
            tile_batch=batch,
            ctas_per_sm=ctas,
            max_split=split,
            mma_batch=mma,
            in_turn=in_turn,
            overlap=overlap,
        ),
        st.sampled_from([0.0, 0.0, 3.0, 4.0]),
        st.sampled_from([8.0, 16.0, 64.0, 256.0]),
        st.sampled_from([1.0, 8.0, 64.0]),
        st.sampled_from([1.0, 2.0, 8.0]),
        st.sampled_from([1.0, 4.0, 8.0]),
        st.sampled_from([0.0, 8.0]),
        st.sampled_from([0.0, 1.0]),
        st.floats(1, 20),
    )
