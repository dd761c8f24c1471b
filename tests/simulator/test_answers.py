"""What users get back: plain data, text and bounds hold together, for products of every kind."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amssim.hardware import names, profile
from amssim.simulator import (
    batch_crossover,
    bits_for_speedup,
    instruction_budget,
    predict_decode,
    predict_latency,
    predict_speedup,
    sweep,
)
from amssim.simulator.inputs import check_bits, check_count, check_l2, check_shape
from amssim.simulator.results import OVERHEAD, RESOURCES, indented

GPUS = [name for name in names() if profile(name).kind == "gpu"]
shapes = st.tuples(st.integers(64, 60_000), st.integers(64, 30_000))
batches = st.integers(1, 200)
widths = st.sampled_from([4.25, 16 / 3])
examples = settings(max_examples=40)


@examples
@given(st.sampled_from(GPUS), shapes, batches, widths)
def test_a_latency_is_the_sum_of_its_breakdown(device, shape, batch, bits):
    answer = predict_latency(bits, device=device, shape=shape, batch=batch)
    assert sum(answer.breakdown.values()) == pytest.approx(answer.seconds, rel=1e-9)
    assert all(part >= 0 for part in answer.breakdown.values())
    low, high = answer.interval
    assert low < answer.seconds < high
    assert answer.binding in (OVERHEAD, *RESOURCES.values())


@examples
@given(shapes, batches, widths)
def test_weights_never_come_faster_than_dram_gives_them(shape, batch, bits):
    answer = predict_latency(bits, shape=shape, batch=batch)
    assert answer.bytes_per_s < profile("h200").value("dram_bytes_per_s")


@examples
@given(shapes, batches, widths)
def test_a_wider_format_never_takes_less_time(shape, batch, bits):
    """Of one kernel at 16 bits: cuBLAS, whose time follows its bytes."""
    narrow = predict_latency(bits, shape=shape, batch=batch)
    assert narrow.question.weight_bytes == shape[0] * shape[1] * bits / 8
    assert float(narrow) == narrow.seconds > 0


@examples
@given(shapes, st.integers(1, 63))
def test_more_rows_of_x_never_make_cublas_faster(shape, batch):
    few, more = (predict_latency(shape=shape, batch=b) for b in (batch, batch + 1))
    assert more.seconds >= few.seconds * (1 - 1e-12)


@examples
@given(shapes, st.integers(1, 64))
def test_a_longer_layer_never_takes_cublas_less_time(shape, batch):
    rows, columns = shape
    short = predict_latency(shape=(rows, columns), batch=batch)
    long = predict_latency(shape=(2 * rows, columns), batch=batch)
    assert long.seconds >= short.seconds


@examples
@given(st.sampled_from(GPUS), shapes, st.integers(1, 64), widths)
def test_a_speedup_is_the_ratio_of_its_sides(device, shape, batch, bits):
    answer = predict_speedup(bits, device=device, shape=shape, batch=batch)
    assert float(answer) == answer.baseline.seconds / answer.quantized.seconds
    low, high = answer.interval
    assert low < float(answer) < high
    assert answer.ideal == pytest.approx(16 / answer.quantized.question.bits)
    assert f"{answer:.2f}" == f"{float(answer):.2f}"
    assert f"{answer}" == str(answer)


@pytest.mark.parametrize("l2", ["cold", "hot", 50e6])
@pytest.mark.parametrize("graph", [True, False])
def test_plain_data_say_everything_that_was_asked(l2, graph):
    options = {"device": "a100-80gb", "shape": (4096, 8192), "batch": 3, "l2": l2, "graph": graph}
    answer = predict_speedup(4.25, **options)
    plain = json.loads(json.dumps(answer.as_dict()))
    for side, kernel, bits in (("quantized", "ams", 4.25), ("baseline", "cublas_fp16", 16.0)):
        asked = plain[side]
        assert (asked["bits"], asked["kernel"], asked["gpu"]) == (bits, kernel, "a100-80gb")
        assert (asked["shape"], asked["batch"], asked["graph"]) == ([4096, 8192], 3, graph)
        expected = {"cold": "cold", "hot": 4096 * 8192 * bits / 8}.get(l2, l2)
        assert asked["l2"] == expected
        assert sum(asked["breakdown"].values()) == pytest.approx(asked["seconds"])
    assert plain["speedup"] == float(answer)


def test_plain_data_of_a_decode_step_add_up():
    step = predict_decode("llama-3.1-8b", 4.25, device="l40s", batch=4, context=512, kv_bits=8)
    plain = json.loads(json.dumps(step.as_dict()))
    assert sum(part["seconds"] for part in plain["parts"]) == pytest.approx(plain["seconds"])
    assert plain["tokens_per_s"] == pytest.approx(4 / plain["seconds"])
    assert (plain["model"], plain["gpu"], plain["kv_bits"]) == ("llama-3.1-8b", "l40s", 8)
    assert 0 < plain["weight_share"] < 1


def test_plain_data_of_the_questions_turned_round():
    required = bits_for_speedup(1.5, device="h200", shape=(8192, 8192))
    plain = json.loads(json.dumps(required.as_dict()))
    assert plain["bits"] == float(required)
    assert plain["prediction"]["speedup"] == pytest.approx(1.5, rel=1e-6)
    budget = instruction_budget(4.25, device="a10")
    plain = json.loads(json.dumps(budget.as_dict()))
    assert plain["fits"] == all(plain["spent"][p] <= plain["allowed"][p] for p in plain["spent"])


def test_rows_of_a_sweep_are_every_combination_once():
    table = sweep(
        [4.25, 5.33], device=["h200", "a10"], shape=[(1024, 1024), (64, 64)], batch=[1, 2]
    )
    rows = list(table.rows())
    points = {(r["gpu"], tuple(r["shape"]), r["batch"], r["bits"]) for r in rows}
    assert len(points) == len(rows) == 16
    assert table.speedup.shape == (2, 2, 2, 2)


@pytest.mark.parametrize("device", ["h200", "a100-80gb", "rtx4090"])
def test_a_crossover_is_where_a_speedup_falls_to_one(device):
    options = {"device": device, "shape": (4096, 4096), "kernel": "trtllm_int4"}
    batch = batch_crossover(4, **options)
    if batch is None:
        assert float(predict_speedup(4, batch=64, **options)) > 1
    else:
        assert float(predict_speedup(4, batch=batch, **options)) <= 1
        assert batch == 1 or float(predict_speedup(4, batch=batch - 1, **options)) > 1


def test_no_crossover_before_the_limit():
    assert batch_crossover(4.25, shape=(57344, 8192), limit=4) is None


def test_text_of_an_answer_states_the_circumstances():
    options = {"shape": (4096, 4096), "batch": 2, "l2": 1e6, "graph": False}
    hot = " ".join(str(predict_latency(4.25, **options)).split())
    assert "4.25 bits, 4096 x 4096, batch 2, NVIDIA H200" in hot
    assert "1.0 MB between uses, stream launches" in hot
    cpu = " ".join(str(predict_latency(4.25, device="ryzen-7950x")).split())
    assert "L2 cold" in cpu and "graph" not in cpu


@given(st.text(st.characters(codec="ascii", categories=["L", "Z"]), max_size=300))
def test_lines_stay_within_eighty_columns(text):
    words = [word for word in text.split() if len(word) < 70]
    lines = indented(" ".join(words)).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert " ".join(lines).split() == words


@pytest.mark.parametrize(
    ("bits", "value"), [(5.33, 16 / 3), ("fp4.25", 4.25), (4.25, 4.25), (6, 6.0), (7.5, 7.5)]
)
def test_bits_that_are_accepted(bits, value):
    assert check_bits(bits) == value


@pytest.mark.parametrize("count", [1, 7, 2**16])
def test_counts_that_are_accepted(count):
    assert check_count(count, "batch", 2**16) == count
    with pytest.raises(ValueError, match=f"batch is {count}, expected a whole number from 1 to 0"):
        check_count(count, "batch", 0)


def test_shapes_that_are_accepted():
    import numpy as np

    assert check_shape([4096, 1024]) == (4096, 1024)
    assert check_shape(np.array([4096, 1024])) == (4096, 1024)
    assert check_shape((np.int32(2), 3)) == (2, 3)


@pytest.mark.parametrize(
    ("l2", "reuse_bytes"),
    [("cold", math.inf), ("hot", 123.0), (5, 5.0), (2.5e6, 2.5e6), (1e300, math.inf)],
)
def test_what_passes_between_two_uses_of_a_weight(l2, reuse_bytes):
    assert check_l2(l2, 123.0) == reuse_bytes
