"""The closed form at its limits, against exact arithmetic, and compiled against interpreted."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_cases import COLD, H200, PLAIN, kernels, loads

from amssim.simulator import equations
from amssim.simulator.compiled import functions, latencies
from amssim.simulator.equations import Load, latency, latency_at


def test_large_layer_runs_at_the_dram_rate():
    load = Load(2.0**22, 8192.0, 1.0, 16.0, COLD)
    deep = PLAIN._replace(inflight_bytes=65536.0)
    rate = load.rows * load.columns * 2 / latency(H200, deep, load).total
    assert rate == pytest.approx(H200.dram_bytes_per_s, rel=0.01)


def test_one_cta_is_bound_by_its_latency():
    # Little's law: what is in flight arrives once per latency
    rate = equations.dram_rate(H200, PLAIN, 1.0)
    assert rate == pytest.approx(PLAIN.inflight_bytes / H200.latency_s, rel=1e-3)
    rates = [equations.dram_rate(H200, PLAIN, 2.0**n) for n in range(14)]
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
    best = latency(H200, kernel, load)
    splits = [2.0**i for i in range(4) if 2.0**i <= kernel.max_split]
    assert best.total == min(latency_at(H200, kernel, load, s).total for s in splits)


@given(kernel=kernels(), load=loads(), more=st.floats(1, 3))
def test_more_bits_never_take_less_time(kernel, load, more):
    wide = load._replace(bits=load.bits * more)
    assert latency(H200, kernel, wide).total >= latency(H200, kernel, load).total * (1 - 1e-12)


def test_norm_between_sum_and_maximum():
    assert equations.norm(1.0, 2.0, 3.0, 4.0, 1.0) == pytest.approx(10)
    assert equations.norm(1.0, 2.0, 3.0, 4.0, 200.0) == pytest.approx(4)
    assert equations.norm(1e-200, 0.0, 0.0, 0.0, 20.0) == 1e-200  # no underflow to zero


def test_idle_columns_of_an_instruction_cost_like_used_ones():
    seconds = [equations.tensor_s(H200, PLAIN, 1e6, b) for b in (1.0, 8.0, 9.0, 16.0)]
    assert seconds[0] == seconds[1] and seconds[2] == seconds[3] == 2 * seconds[0]
    assert equations.tensor_s(H200, PLAIN._replace(mma_batch=0.0), 1e6, 8.0) == 0


def test_early_launch_hides_its_share():
    load = Load(4096.0, 4096.0, 1.0, 4.0, COLD)
    plain, early = (latency(H200, PLAIN._replace(early=e), load).total for e in (0.0, 0.75))
    assert plain - early == pytest.approx(0.75 * (H200.launch_s + H200.latency_s))


def test_the_slowest_pipe_counts():
    weights, base = 1e6, equations.instruction_s(H200, PLAIN, 1e6, 1.0)
    assert base == pytest.approx(weights * 1.0 / 64 / H200.clock_hz)  # ALU, not 1.5 / 128
    slow = PLAIN._replace(imad=2.0)
    assert equations.instruction_s(H200, slow, weights, 1.0) == pytest.approx(2 * base)
    per_batch = PLAIN._replace(issue_per_batch=1.0)
    assert equations.instruction_s(H200, per_batch, weights, 8.0) == pytest.approx(
        weights * 9.5 / 128 / H200.clock_hz
    )


def test_weights_in_l2_come_at_its_rate():
    load = Load(8192.0, 1024.0, 1.0, 16.0, COLD)
    cold = latency(H200, PLAIN, load)
    hot = latency(H200, PLAIN, load._replace(reuse_bytes=1.0))
    assert hot.dram < 0.01 * cold.dram and hot.l2 > 10 * cold.l2 and hot.total < cold.total
    assert equations.resident_share(H200, H200.l2_bytes) == pytest.approx(0.5)


def test_a_partial_wave_shows_as_much_as_the_kernel_lets_it():
    slots = 132 * 8 * 16
    load = Load(slots + 16.0, 4096.0, 1.0, 4.0, COLD)
    none, half, full = (latency(H200, PLAIN._replace(tail=t), load).tail for t in (0.0, 0.5, 1.0))
    assert none == 0 and full == pytest.approx(2 * half) and full > 1e-6


def test_a_persistent_grid_has_no_tail_and_reads_x_once_per_cta():
    load = Load(132 * 8 * 16 * 3.5, 4096.0, 8.0, 4.0, COLD)
    tiles, shared = (latency(H200, PLAIN._replace(persistent=p), load) for p in (0.0, 1.0))
    assert shared.tail == 0 < tiles.tail
    assert shared.l2 == pytest.approx(tiles.l2 / 4, rel=0.01)
    assert shared.dram == pytest.approx(tiles.dram, rel=0.02)


def test_a_persistent_grid_hands_out_whole_tiles():
    # 1.5 tiles per CTA: most take two, so three quarters of the slots do all the work
    kernel = PLAIN._replace(persistent=1.0, issue=50.0, mma_batch=0.0, ctas_per_sm=1.0)
    one, half, two = (
        latency(H200, kernel, Load(n * 132 * 16, 4096.0, 1.0, 4.0, COLD)).instructions
        for n in (1.0, 1.5, 2.0)
    )
    assert half == two == pytest.approx(2 * one)


@settings(max_examples=60)
@given(kernel=kernels(), load=loads())
def test_compiled_is_interpreted(kernel, load):
    found = latencies(H200, kernel, *load)
    assert float(found) == pytest.approx(latency(H200, kernel, load).total, rel=1e-14)


def test_compiled_broadcasts():
    found = latencies(H200, PLAIN, np.float64([[1024], [2048]]), 4096, [1, 2, 3], 16, COLD)
    assert found.shape == (2, 3)
    assert found[1, 2] == latency(H200, PLAIN, Load(2048.0, 4096.0, 3.0, 16.0, COLD)).total


def test_every_function_was_compiled():
    names = [
        n for n, f in vars(equations).items() if getattr(f, "__module__", "") == equations.__name__
    ]
    compiled = functions()
    assert {"latency", "wave", "norm"} <= set(names)
    assert all(hasattr(compiled[n], "py_func") for n in names if not isinstance(compiled[n], type))
