"""The GPU benchmark where there is no GPU: its record, its runs, and how launches are timed."""

import contextlib
import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest

from amssim.bench import benchmark_gpu
from amssim.bench.gpu import accuracy, baselines, benchmark, clock, graphs, layer, peers
from amssim.bench.gpu.benchmark import lowest
from amssim.errors import MismatchError, ResourceError

MICROSECONDS = 1e-6


class FakeLayer:
    """Takes 2 us and one more for every vector; 7 us to become dense."""

    def __init__(self, scheme, rows, columns):
        self.scheme, self.nbytes = scheme, rows * columns

    def product_s(self, batch):
        return (2 + batch) * MICROSECONDS, batch / 1000

    def dequantize_s(self):
        return 7 * MICROSECONDS

    def host_s(self):
        return 5 * MICROSECONDS, 3 * MICROSECONDS


@pytest.fixture
def fake_gpu(monkeypatch):
    monkeypatch.setattr(layer, "Layer", FakeLayer)
    monkeypatch.setattr(benchmark, "cublas_s", lambda rows, columns, batch: 6 * MICROSECONDS)
    monkeypatch.setattr(benchmark, "copy_bytes_per_s", lambda: 4.25e12)
    monkeypatch.setattr(benchmark, "describe_gpu", lambda: {"gpu": "A GPU"})


def test_the_record_holds_every_product_in_microseconds(fake_gpu):
    lines = []
    record = benchmark_gpu({"o": (8, 16)}, (1, 4), command="amssim bench gpu", say=lines.append)
    assert list(record) == [
        "command", "machine", "copy_tbps", "host_us", "driver_us", "results", "peers"
    ]  # fmt: skip
    assert (record["command"], record["machine"]) == ("amssim bench gpu", {"gpu": "A GPU"})
    assert record["copy_tbps"] == pytest.approx(4.25) and record["peers"] == []
    assert (record["host_us"], record["driver_us"]) == pytest.approx((5, 3))
    assert [(r["scheme"], r["batch"]) for r in record["results"]] == [
        ("fp5.33-e2m3", 1), ("fp5.33-e2m3", 4), ("fp4.25-e2m2", 1), ("fp4.25-e2m2", 4)
    ]  # fmt: skip
    first = record["results"][0]
    times = {name: first.pop(name) for name in ("us", "cublas_us", "dequantize_us")}
    assert times == pytest.approx({"us": 3, "cublas_us": 6, "dequantize_us": 7})
    assert first == {"layer": "o", "shape": [8, 16], "scheme": "fp5.33-e2m3", "bytes": 128,
                     "batch": 1, "error": 0.001}  # fmt: skip
    assert lines[0] == "o fp5.33 batch 1: 3.0 us, 2.00x" and len(lines) == 4
    assert json.loads(json.dumps(record)) == record


def test_peers_are_timed_at_their_batches(fake_gpu, monkeypatch):
    asked = []

    def measured(peer, shapes, batches, *, say):
        asked.append((peer.name, batches))
        return {"peer": peer.name, "results": []}

    monkeypatch.setattr(benchmark, "measure_peer", measured)
    record = benchmark_gpu({"o": (8, 16)}, (1, 2, 8), peers=True)
    assert [p["peer"] for p in record["peers"]] == [peer.name for peer in peers.PEERS]
    assert asked == [(peer.name, (1, 8)) for peer in peers.PEERS]


def test_runs_are_said_in_the_record(fake_gpu):
    record = benchmark_gpu({"o": (8, 16)}, (1,), runs=3)
    assert record["note"] == "each time is the lowest of 3 runs" and len(record["results"]) == 2
    assert "note" not in benchmark_gpu({"o": (8, 16)}, (1,))


def record(us, peer_us, **figures):
    product = {"layer": "o", "shape": [16, 64], "scheme": "fp5.33-e2m3", "batch": 1}
    product |= {"us": us, "cublas_us": 3 * us, "dequantize_us": 9.0, "error": us / 1000, "bytes": 1}
    results = [{"layer": "o", "shape": [16, 64], "batch": 1, "us": peer_us, "error": 0.1}]
    timed = [{"peer": "theirs", "version": "1", "results": results, "failed": []}]
    rest = {"copy_tbps": 4.0, "host_us": 6.0, "driver_us": 3.0, "machine": {}, "command": "x"}
    return rest | figures | {"results": [product], "peers": timed}


def test_the_lowest_time_of_each_run_counts():
    runs = [record(5.0, 7.0), record(4.0, 8.0, copy_tbps=4.1, host_us=5.0)]
    kept = copy.deepcopy(runs)
    best = lowest(runs)
    (product,), (peer,) = best["results"], best["peers"]
    assert (product["us"], product["cublas_us"], product["error"]) == (4.0, 12.0, 0.005)
    assert peer["results"][0]["us"] == 7.0
    assert (best["copy_tbps"], best["host_us"], best["driver_us"]) == (4.1, 5.0, 3.0)
    assert best["note"] == "each time is the lowest of 2 runs"
    assert runs == kept


def test_what_one_run_lacks_stays():
    first, second = record(5.0, 7.0), record(4.0, 6.0)
    second["peers"] = []
    assert lowest([first, second])["peers"] == first["peers"]
    assert lowest([first]) == first
    second["results"] = []
    assert lowest([first, second])["results"] == first["results"]


class FakeTorch:
    """A PyTorch whose graphs record what is launched while they are captured."""

    def __init__(self):
        self.launched, self.replays, self.cuda = [], 0, self
        self.stream_ended = False

    def Stream(self):
        return SimpleNamespace(synchronize=lambda: None)

    def CUDAGraph(self):
        return SimpleNamespace(replay=self.replay)

    def replay(self):
        self.replays += 1

    def stream(self, stream):
        return contextlib.nullcontext()

    def graph(self, graph, stream):
        self.launched.clear()  # what came before was not captured
        return contextlib.nullcontext()


@pytest.fixture
def fake_torch(monkeypatch):
    torch = FakeTorch()
    monkeypatch.setattr(graphs, "torch_or_error", lambda: torch)
    monkeypatch.setattr(graphs, "WARM_S", 0.0)
    times = iter([9.0, *[float(n) for n in range(1, 16)]])

    def event_clock():
        def seconds(call):
            call()
            return next(times)

        return seconds

    monkeypatch.setattr(graphs, "EventClock", event_clock)
    return torch


def test_a_graph_is_replayed_and_its_median_shared_by_the_launches(fake_torch):
    assert graphs.graph_s(fake_torch.launched.append, 4) == 8.0 / 4
    assert fake_torch.launched == [0, 1, 2, 3]
    assert fake_torch.replays == 1 + graphs.REPLAYS


@pytest.mark.parametrize(("nbytes", "copies"), [(10**9, 2), (10**8, 3), (10**6, 64)])
def test_a_layer_has_copies_that_do_not_fit_the_cache(nbytes, copies):
    assert graphs.copies_of(nbytes) == copies


def test_cublas_is_the_faster_of_two_ways_for_one_vector(monkeypatch):
    torch = SimpleNamespace(float16=None, randn=lambda *s, **_: [s], empty=lambda *s, **_: [s])
    times = iter([5.0, 4.0, 5.0, 6.0, 7.0])
    monkeypatch.setattr(baselines, "torch_or_error", lambda: torch)
    monkeypatch.setattr(baselines, "graph_s", lambda launch, count: next(times))
    assert baselines.cublas_s(64, 64, 1) == 4.0
    assert baselines.cublas_s(64, 64, 2) == 5.0
    assert baselines.cublas_s(64, 64, 1) == 6.0


def test_a_copy_reads_and_writes_every_byte(monkeypatch):
    torch = SimpleNamespace(float16=None, randn=lambda *_, **__: None, empty_like=lambda x: x)
    monkeypatch.setattr(baselines, "torch_or_error", lambda: torch)
    monkeypatch.setattr(baselines, "graph_s", lambda launch, count: 1e-3)
    assert baselines.copy_bytes_per_s() == 2 * 2 * 500_000_000 / 1e-3


class FakeDriver:
    """Events that remember when they were recorded, in milliseconds of a clock of its own."""

    def __init__(self):
        self.now, self.order = 0.0, []

    def cuEventCreate(self, flags):
        return 0, {}

    def cuEventRecord(self, event, stream):
        event["at"], event["stream"] = self.now, stream
        self.order.append("record")
        return (0,)

    def cuEventSynchronize(self, event):
        self.order.append("wait")
        return (0,)

    def cuEventElapsedTime(self, start, end):
        assert start["stream"] == end["stream"]
        return 0, end["at"] - start["at"]


def test_the_event_clock_reads_what_lies_between_two_events(monkeypatch):
    driver = FakeDriver()
    bindings = pytest.importorskip("cuda.bindings")
    monkeypatch.setattr(bindings, "driver", driver, raising=False)
    seconds = clock.EventClock(stream=7)

    def work():
        driver.order.append("work")
        driver.now += 2.5

    assert seconds(work) == pytest.approx(2.5e-3)
    assert driver.order == ["record", "work", "record", "wait"]


def test_a_driver_that_refuses_is_a_sentence():
    with pytest.raises(ResourceError, match="the CUDA driver refused to time launches: 700"):
        clock.driver_value((700, None))
    assert clock.driver_value((0, "value")) == "value" and clock.driver_value((0,)) is None


def test_without_pytorch_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ResourceError, match="needs PyTorch: pip install torch"):
        graphs.torch_or_error()
    blind = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False))
    monkeypatch.setitem(__import__("sys").modules, "torch", blind)
    with pytest.raises(ResourceError, match="PyTorch sees no GPU: see nvidia-smi"):
        graphs.torch_or_error()


def test_host_time_is_per_launch_on_an_idle_gpu(monkeypatch):
    order = []
    torch = SimpleNamespace(cuda=SimpleNamespace(synchronize=lambda: order.append("wait")))
    monkeypatch.setattr(layer, "torch_or_error", lambda: torch)
    monkeypatch.setattr(layer, "wall_s", lambda call: call() or 30.0)
    assert layer._idle_gpu_s(lambda: order.append("call")) == 3.0
    assert order == ["wait"] + ["call"] * 10


class FakeTensor(np.ndarray):
    """A numpy array with the methods of PyTorch's tensors."""

    def double(self):
        return self.astype(np.float64)

    def split(self, rows):
        return [self[i : i + rows] for i in range(0, len(self), rows)]

    def norm(self):
        return np.linalg.norm(np.asarray(self))

    def t(self):
        return self.T


def tensor(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).view(FakeTensor)


def test_exact_products_are_those_of_all_rows(monkeypatch):
    torch = SimpleNamespace(cat=lambda parts, axis: np.concatenate(parts, axis))
    monkeypatch.setattr(accuracy, "torch_or_error", lambda: torch)
    monkeypatch.setattr(accuracy, "_ROWS_AT_ONCE", 7)
    x, weights = tensor(3, 16), tensor(20, 16)
    expected = np.asarray(x) @ np.asarray(weights).T
    assert accuracy.exact_product(x, weights) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1 + 5e-4, 1.0])
def test_an_error_that_is_accepted_is_told(scale):
    expected = tensor(2, 5)
    error = accuracy.checked_error(expected * scale, expected, accepted=1e-3, what="it")
    assert error == pytest.approx(scale - 1, abs=1e-12)


@pytest.mark.parametrize("factor", [1.01, float("nan")])
def test_an_error_that_is_not_accepted_is_a_sentence(factor):
    expected = tensor(2, 5)
    with pytest.raises(MismatchError, match=r"the product differs from float64 by (1\.0e-02|nan)"):
        accuracy.checked_error(expected * factor, expected, accepted=1e-3, what="the product")
