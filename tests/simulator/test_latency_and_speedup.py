"""The public predictions: what they say, what they warn of, and what they refuse."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import amssim
from amssim.errors import AmsError, FormatError, InputError
from amssim.hardware import names, profile
from amssim.simulator import predict_latency, predict_speedup
from amssim.simulator.descriptors import descriptor, kernels
from amssim.simulator.inputs import check_bits


def test_the_default_question_shows_every_default():
    result = predict_speedup(bits=5.33)
    text = str(result)
    for shown in ("5.333 bits", "28672 x 4096", "batch 1", "H200", "L2 cold", "CUDA graph"):
        assert shown in text
    assert "cublas_fp16" in text and "ams" in text and "3.00x" in text
    assert 2 < float(result) < 3.2 and result.ideal == pytest.approx(3)
    assert f"{result:.2f}" == f"{float(result):.2f}" and f"{result}" == text


def test_cold_start_needs_neither_numpy_nor_numba():
    code = (
        "import sys, time; t = time.perf_counter()\n"
        "from amssim.simulator import predict_speedup\n"
        "print(predict_speedup(bits=5.33)); s = time.perf_counter() - t\n"
        "assert not {'numpy', 'numba', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert s < 1, s"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "x (" in done.stdout, done.stderr


@pytest.mark.parametrize("gpu", [n for n in names() if profile(n).kind == "gpu"])
@pytest.mark.parametrize("bits", [1, 4.25, 5.33, 16])
def test_every_gpu_answers(gpu, bits):
    result = predict_speedup(bits, device=gpu)
    low, high = result.interval
    assert 0 < low < float(result) < high and math.isfinite(high)
    json.dumps(result.as_dict(), allow_nan=False)


@pytest.mark.parametrize("kernel", kernels())
def test_every_kernel_answers(kernel):
    family = descriptor(kernel)
    gpu = "h200" if family.kind == "gpu" else "ryzen-7950x"
    bits = None if family.bits[0] == family.bits[1] else sum(family.bits) / 2
    for batch in (1, 8, 64):
        found = predict_latency(bits, device=gpu, kernel=kernel, batch=batch)
        assert 1e-6 < found.seconds < 1 and sum(found.breakdown.values()) == pytest.approx(
            found.seconds
        )


def test_spelled_bits_are_the_schemes():
    assert (
        check_bits(5.33) == check_bits("fp5.33") == check_bits(amssim.scheme(bits=5.33)) == 16 / 3
    )
    assert check_bits(6) == 6.0  # two presets have six bits: the number is enough
    assert check_bits(5.7) == 5.7


def test_bits_decide_and_speedup_stays_below_the_ratio_of_bits():
    few, many = predict_speedup(4.25, device="a10"), predict_speedup(8, device="a10")
    assert float(few) > float(many)
    large = predict_speedup("fp5.33", shape=(131072, 16384))
    # above the ratio by a little: ours reads DRAM better than cuBLAS, 3.07x was measured
    assert 0.8 * large.ideal < float(large) < 1.1 * large.ideal


def test_warnings_in_words():
    def warnings(*args, **options):
        return " | ".join(predict_speedup(*args, **options).warnings)

    assert "too small" in warnings(5.33, shape=(256, 256))
    assert "fit L2" in warnings(4.25, shape=(4096, 4096))
    assert "fit L2" not in warnings(4.25, shape=(4096, 4096), l2="hot")
    assert "past the crossover" in warnings(4, kernel="trtllm_int4", shape=(1024, 1024))
    assert "not measured on rtx3090" in warnings(5.33, device="rtx3090")
    assert "beyond the 64" in warnings(8, kernel="trtllm_int8", batch=100)
    assert "estimated" in warnings(5.0)
    assert "needs CUDA compute capability 8.0, which v100" in warnings(5.33, device="v100")
    assert "needs CUDA" not in warnings(5.33, device="a10")
    assert "limited by instructions" in warnings(6, kernel="fp6_llm", batch=64)


def test_hot_weights_are_faster_than_cold():
    cold = predict_latency(4.25, shape=(4096, 4096))
    hot = predict_latency(4.25, shape=(4096, 4096), l2="hot")
    between = predict_latency(4.25, shape=(4096, 4096), l2=30e6)
    assert hot.seconds < between.seconds < cold.seconds


def test_launches_one_by_one_cost_more():
    assert float(predict_latency(graph=False)) > float(predict_latency(graph=True))


BAD = [
    ({"bits": 0.5}, "bits is 0.5, expected 1 to 16"),
    ({"bits": 17}, "expected 1 to 16"),
    ({"bits": math.nan}, "bits is nan, expected 1 to 16"),
    ({"bits": True}, "bits is True"),
    ({"bits": [4]}, r"bits is \[4\]"),
    ({"bits": "fp99"}, "bits is 'fp99', expected 1 to 16, or a name: .*99 bits: choose one of"),
    ({"bits": "5,33"}, "bits is '5,33', expected 1 to 16"),
    ({"bits": None}, "bits is None, expected 1 to 16"),
    ({"bits": 10**400}, "bits is 1000"),
    ({"device": "gtx1080"}, "unknown device 'gtx1080': choose one of"),
    ({"shape": (0, 4096)}, "rows is 0, expected a whole number from 1"),
    ({"shape": (4096, -1)}, "columns is -1"),
    ({"shape": (4096, 10.5)}, "columns is 10.5"),
    ({"shape": (4096, math.nan)}, "columns is nan"),
    ({"shape": 4096}, r"shape is 4096, expected \(rows, columns\)"),
    ({"shape": "ab"}, "shape is 'ab'"),
    ({"shape": {4096, 8192}}, r"shape is \{\d+, \d+\}, expected \(rows, columns\)"),
    ({"batch": 0}, "batch is 0"),
    ({"batch": 1.0}, "batch is 1.0"),
    ({"batch": 10**9}, "batch is 1000000000"),
    ({"kernel": "nothing"}, "unknown kernel 'nothing': choose one of ams"),
    ({"kernel": ["ams"]}, r"unknown kernel \['ams'\]: choose one of ams"),
    ({"kernel": "fp6_llm", "bits": 4}, "kernel 'fp6_llm' reads 5 to 6 bits per weight, found 4"),
    ({"kernel": "ams_cpu"}, "kernel 'ams_cpu' runs on a cpu, and h200 is a gpu: choose"),
    ({"baseline": "ams"}, "kernel 'ams' reads 1 to 16 bits: give bits"),
    ({"l2": "warm"}, "l2 is 'warm', expected 'cold', 'hot'"),
    ({"l2": 0}, "l2 is 0"),
    ({"l2": math.inf}, "l2 is inf"),
    ({"l2": 10**400}, "l2 is 1000"),
    ({"graph": "yes"}, "graph is 'yes', expected True or False"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[str(b[0]) for b in BAD])
def test_bad_input_is_named(options, message):
    with pytest.raises(AmsError, match=message):
        predict_speedup(**{"bits": 5.33, **options})


def test_a_cpu_is_a_device(tmp_path):
    result = predict_speedup(4.25, device="epyc-9654", shape=(4096, 4096))
    assert result.baseline.question.kernel.name == "blas_f32"
    assert result.baseline.question.bits == 32 and "CUDA" not in str(result)
    path = tmp_path / "cpu.json"
    path.write_text(json.dumps(profile("epyc-9654").as_dict()))
    assert float(predict_speedup(4.25, device=Path(path), shape=(4096, 4096))) == float(result)


def test_a_profile_with_a_hole_names_it(tmp_path):
    plain = profile("h200").as_dict()
    del plain["figures"]["sms"]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(FormatError, match="figure sms is missing"):
        predict_speedup(5.33, device=str(path))


def test_a_width_is_needed_where_the_kernel_has_none():
    with pytest.raises(InputError, match="give bits"):
        predict_latency(kernel="ams")
