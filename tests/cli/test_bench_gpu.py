"""`amssim bench gpu` where there is no GPU: its options, and how runs become one record."""

import copy

import pytest

from amssim.bench.gpu.benchmark import lowest
from amssim.cli import bench_gpu
from amssim.cli.entry import main
from amssim.errors import InputError


def record(us, peer_us, **figures):
    product = {"layer": "o", "shape": [16, 64], "scheme": "fp5.33-e2m3", "batch": 1}
    product |= {"us": us, "cublas_us": 3 * us, "dequantize_us": 9.0, "error": us / 1000, "bytes": 1}
    results = [{"layer": "o", "shape": [16, 64], "batch": 1, "us": peer_us, "error": 0.1}]
    peers = [{"peer": "theirs", "version": "1", "results": results, "failed": []}]
    rest = {"copy_tbps": 4.0, "host_us": 6.0, "driver_us": 3.0, "machine": {}, "command": "x"}
    return rest | figures | {"results": [product], "peers": peers}


def test_the_lowest_time_of_each_run_counts():
    runs = [record(5.0, 7.0), record(4.0, 8.0, copy_tbps=4.1, host_us=5.0)]
    kept = copy.deepcopy(runs)
    found = lowest(runs)
    (product,), (peer,) = found["results"], found["peers"]
    assert (product["us"], product["cublas_us"], product["error"]) == (4.0, 12.0, 0.005)
    assert peer["results"][0]["us"] == 7.0
    assert (found["copy_tbps"], found["host_us"], found["driver_us"]) == (4.1, 5.0, 3.0)
    assert found["note"] == "each time is the lowest of 2 runs"
    assert runs == kept


def test_what_one_run_lacks_stays():
    first, second = record(5.0, 7.0), record(4.0, 6.0)
    second["peers"] = []
    assert lowest([first, second])["peers"] == first["peers"]
    assert lowest([first]) == first


@pytest.mark.parametrize("text", ["8192", "8192x", "0x64", "1x2x3", "a"])
def test_shapes_that_are_none(text):
    with pytest.raises(InputError, match="--shapes"):
        bench_gpu._shapes(text)


def test_shapes_and_batches():
    assert bench_gpu._shapes("16x64, 32x128") == {"16x64": (16, 64), "32x128": (32, 128)}
    assert bench_gpu._numbers("1,8", "--batches") == (1, 8)
    with pytest.raises(InputError, match="--batches is '1,'"):
        bench_gpu._numbers("1,", "--batches")


def test_help_names_the_runs(capsys):
    assert main(["bench", "gpu", "--help"]) == 0
    assert "--runs N" in capsys.readouterr().out
