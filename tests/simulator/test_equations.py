"""The closed form at its limits, against exact arithmetic, and compiled against interpreted."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_cases import COLD, H200, PLAIN, kernels, loads

from amssim.launch.geometry import GEMM, GEMV, WARPGROUP
from amssim.simulator import equations
from amssim.simulator.compiled import PLANNING, functions, latencies, planned_latencies
from amssim.simulator.equations import latency, tiled_cut, time_of
from amssim.simulator.quantities import Load


def test_large_layer_runs_at_the_dram_rate():
    load = Load(2.0**22, 8192.0, 1.0, 16.0, COLD)
    deep = PLAIN._replace(inflight_bytes=65536.0)
    rate = load.rows * load.columns * 2 / latency(H200, deep, load).total
    assert rate == pytest.approx(H200.dram_bytes_per_s, rel=0.01)


def test_one_cta_is_bound_by_its_latency():
    # Little's law: what is in flight arrives once per latency
    rate = equations.dram_rate(H200, PLAIN, 8192.0)
    assert rate == pytest.approx(8192 / H200.latency_s, rel=1e-3)
    rates = [equations.dram_rate(H200, PLAIN, 8192 * 2.0**n) for n in range(14)]
    assert all(a < b for a, b in pairwise(rates))
    assert rates[-1] < H200.dram_bytes_per_s


def test_body_against_exact_arithmetic():
    # terms that add (overlap 1), one full wave, no tensor cores, a perfect memory
    device = H200._replace(latency_s=1e-30)
    kernel = PLAIN._replace(overlap=1.0, mma_batch=0.0)
    rows, columns, bits = 132 * 8 * 16, 4096, 4
    terms = latency(device, kernel, Load(float(rows), float(columns), 2.0, float(bits), COLD))
    weights = Fraction(rows * columns)
    dram = (weights * bits / 8 + 2 * 2 * rows) / Fraction(device.dram_bytes_per_s)
    l2 = Fraction(132 * 8 * 2 * 2 * columns) / Fraction(device.l2_bytes_per_s)
    issue, alu = Fraction(3, 2) / 128, Fraction(1, 64)
    instructions = weights / 132 * max(issue, alu) / Fraction(device.clock_hz)
    assert terms.body == pytest.approx(float(dram + l2 + instructions), rel=1e-12)
    assert terms.tail == 0 and terms.split == 1
    assert terms.total == pytest.approx(terms.body + device.launch_s + 1e-6, rel=1e-12)


@given(kernel=kernels(), load=loads())
def test_terms_add_up_and_bound_the_body(kernel, load):
    t = latency(H200, kernel, load)
    parts = t.launch + t.fill + t.fixed + t.waves + t.loop + t.body + t.reduce
    assert t.total == pytest.approx(parts, rel=1e-12)
    resources = (t.dram, t.l2, t.instructions, t.tensor)
    assert max(resources) * (1 - 1e-12) <= t.body - t.tail <= sum(resources) * (1 + 1e-12)


@given(kernel=kernels(), load=loads())
def test_best_split_is_the_least_of_all(kernel, load):
    splits = [2.0**i for i in range(4) if 2.0**i <= kernel.max_split]
    tiles = kernel._replace(group=0.0)
    best = latency(H200, tiles, load)
    every = [time_of(H200, tiles, load, tiled_cut(H200, tiles, load, s)).total for s in splits]
    assert best.total == min(every)


@given(kernel=kernels(), load=loads(), more=st.floats(1, 3))
def test_more_bits_never_take_less_time(kernel, load, more):
    wide = load._replace(bits=load.bits * more)
    assert latency(H200, kernel, wide).total >= latency(H200, kernel, load).total * (1 - 1e-12)


def test_norm_between_sum_and_maximum():
    assert equations.norm(1.0, 2.0, 3.0, 4.0, 1.0) == pytest.approx(10)
    assert equations.norm(1.0, 2.0, 3.0, 4.0, 200.0) == pytest.approx(4)
    assert equations.norm(1e-200, 0.0, 0.0, 0.0, 20.0) == 1e-200  # no underflow to zero


def cut(batch: float, **changes):
    """A plain launch of 16 x 4096 weights per CTA."""
    kernel = PLAIN._replace(tile_batch=64.0, **changes)
    return tiled_cut(H200, kernel, Load(4096.0, 4096.0, batch, 4.0, COLD), 1.0)


def test_idle_columns_of_an_instruction_cost_like_used_ones():
    seconds = [equations.tensor_s(H200, PLAIN, cut(b)) for b in (1.0, 8.0, 9.0, 16.0)]
    assert seconds[0] == seconds[1] and seconds[2] == seconds[3] == 2 * seconds[0]
    rate = H200.tensor_flops / H200.sms
    assert seconds[0] == pytest.approx(2 * 16 * 4096 * 8 / rate)
    half = equations.tensor_s(H200, PLAIN._replace(mma_share=0.5), cut(8.0))
    assert half == pytest.approx(2 * seconds[0])
    assert equations.tensor_s(H200, PLAIN._replace(mma_batch=0.0), cut(8.0)) == 0


def test_decoding_and_multiplying_in_turn_add():
    load = Load(132 * 8 * 16.0, 4096.0, 64.0, 4.0, COLD)
    device = H200._replace(dram_bytes_per_s=1e18, l2_bytes_per_s=1e18, latency_s=1e-12)
    kernel = PLAIN._replace(tile_batch=64.0, overlap=20.0, issue=8.0)
    both, in_turn = (latency(device, kernel._replace(in_turn=x), load) for x in (0.0, 1.0))
    assert in_turn.tensor == both.tensor > 1e-6 and in_turn.instructions == both.instructions
    assert both.body == pytest.approx(max(both.instructions, both.tensor), rel=0.01)
    assert in_turn.body == pytest.approx(both.instructions + both.tensor, rel=1e-6)


def test_early_launch_hides_its_share():
    load = Load(4096.0, 4096.0, 1.0, 4.0, COLD)
    plain, early = (latency(H200, PLAIN._replace(early=e), load).total for e in (0.0, 0.75))
    assert plain - early == pytest.approx(0.75 * (H200.launch_s + H200.latency_s))


def test_the_slowest_pipe_counts():
    weights, base = 16 * 4096, equations.instruction_s(H200, PLAIN, cut(1.0))
    assert base == pytest.approx(weights * 1.0 / 64 / H200.clock_hz)  # ALU, not 1.5 / 128
    slow = PLAIN._replace(imad=2.0)
    assert equations.instruction_s(H200, slow, cut(1.0)) == pytest.approx(2 * base)
    per_batch = PLAIN._replace(issue_per_batch=1.0)
    assert equations.instruction_s(H200, per_batch, cut(8.0)) == pytest.approx(
        weights * 9.5 / 128 / H200.clock_hz
    )
    per_x = PLAIN._replace(issue_per_x=2.0)
    assert equations.instruction_s(H200, per_x, cut(8.0)) - base == pytest.approx(
        8 * 4096 * 2 / 128 / H200.clock_hz
    )


def test_weights_in_l2_come_at_its_rate():
    load = Load(8192.0, 1024.0, 1.0, 16.0, COLD)
    cold = latency(H200, PLAIN, load)
    hot = latency(H200, PLAIN, load._replace(reuse_bytes=1.0))
    assert hot.dram < 0.01 * cold.dram and hot.l2 > 10 * cold.l2 and hot.total < cold.total
    assert equations.resident_share(H200, H200.l2_bytes) == pytest.approx(0.5)


def test_few_ctas_are_bound_by_the_latency_of_l2_too():
    # Little's law again: all weights in L2, one CTA with 8 KB under way
    load = Load(16.0, 2.0**20, 1.0, 16.0, 1.0)
    hot = latency(H200, PLAIN, load)
    rate = PLAIN.inflight_bytes / (equations.L2_LATENCY * H200.latency_s)
    x_s = 2 * 2.0**20 / H200.l2_bytes_per_s
    assert hot.l2 == pytest.approx(16 * 2.0**20 * 2 / rate + x_s, rel=1e-3)


def test_bytes_in_flight_may_be_a_share_of_shared_memory():
    kernel = PLAIN._replace(inflight_share=0.25, ctas_per_sm=2.0)
    cut = tiled_cut(H200, kernel, Load(4096.0, 4096.0, 1.0, 4.0, COLD), 1.0)
    assert cut.inflight_bytes == H200.shared_bytes / 8


def test_a_partial_wave_shows_as_much_as_the_kernel_lets_it():
    slots = 132 * 8 * 16
    load = Load(slots + 16.0, 4096.0, 1.0, 4.0, COLD)
    none, half, full = (latency(H200, PLAIN._replace(tail=t), load).tail for t in (0.0, 0.5, 1.0))
    assert none == 0 and full == pytest.approx(2 * half) and full > 1e-6


def test_our_plan_decides_what_a_cta_does():
    # 57344 x 8192, FP4.25, batch 64 on an H200: 128 blocks of 16 warps, 28 of 32 row tiles used
    load = Load(57344.0, 8192.0, 64.0, 4.25, COLD)
    cut = equations.cut_of(H200, PLAIN._replace(group=4.0), load, 1.0)
    assert (cut.ctas, cut.split, cut.columns) == (128, 1, 64)
    assert cut.weights == 32 * 16 * 8192 and cut.elements == 64 * 8192
    assert cut.inflight_bytes == 16 * 8 * 512


def test_batches_beyond_64_are_launches_of_their_own():
    ours = PLAIN._replace(group=3.0)
    one, three = (latency(H200, ours, Load(4096.0, 4096.0, b, 16 / 3, COLD)) for b in (64.0, 129.0))
    assert three.total == pytest.approx(3 * one.total)
    assert three.split == one.split and three.launch == pytest.approx(3 * one.launch)


def test_staging_is_paid_per_wave():
    slow = PLAIN._replace(stage_s=1e-6)
    rows = 132 * 8 * 16.0
    for waves in (1, 2):
        load = Load(waves * rows, 4096.0, 8.0, 4.0, COLD)
        assert latency(H200, slow, load).waves == pytest.approx(waves * 8e-6)


@settings(max_examples=60)
@given(kernel=kernels(), load=loads())
def test_compiled_is_interpreted(kernel, load):
    found = latencies(H200, kernel, *load)
    assert float(found) == pytest.approx(latency(H200, kernel, load).total, rel=1e-14)


def test_compiled_plans_are_interpreted():
    # neighbours that share a plan, and others; a kernel that is slower tells which was taken
    ours = tuple(PLAIN._replace(group=4.0, fixed_s=1e-6 * n) for n in (1, 2, 3))
    rows, columns = np.repeat([4096.0, 57344.0], 6), np.repeat([4096.0, 8192.0], 6)
    batch = np.tile([1.0, 1.0, 16.0, 16.0, 64.0, 200.0], 2)
    bits = np.linspace(2, 4.5, 12)
    seconds, which = planned_latencies(H200, ours, rows, columns, batch, bits, COLD)
    for i in range(12):
        load = Load(rows[i], columns[i], batch[i], bits[i], COLD)
        number = equations.product_plan(H200, ours[0], load).kernel
        assert which[i] == number
        assert seconds[i] == pytest.approx(latency(H200, ours[number - 1], load).total, rel=1e-14)
    assert set(which) == {GEMV, GEMM, WARPGROUP}


def test_compiled_broadcasts():
    found = latencies(H200, PLAIN, np.float64([[1024], [2048]]), 4096, [1, 2, 3], 16, COLD)
    assert found.shape == (2, 3)
    assert found[1, 2] == latency(H200, PLAIN, Load(2048.0, 4096.0, 3.0, 16.0, COLD)).total


def test_every_function_was_compiled():
    here = (equations.__name__, *(module.__name__ for module in PLANNING))
    names = [n for n, f in vars(equations).items() if getattr(f, "__module__", "") in here]
    compiled = functions()
    assert {"latency", "wave", "norm", "plan_launch", "unit_columns"} <= set(names)
    assert all(hasattr(compiled[n], "py_func") for n in names if not isinstance(compiled[n], type))
