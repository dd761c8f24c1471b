"""The measurement of launches with a stand-in for the GPU: what is timed, kept and left out."""

import itertools

import pytest

from amssim.bench import measure_shapes
from amssim.bench.gpu import shapes
from amssim.bench.gpu.planned import Product
from amssim.launch import Gpu, plan_launch, plan_name, possible_launches

H200 = Gpu(132, 232_448, 90)


class Layer:
    """Times that follow from the name of a launch alone."""

    nbytes = 1000

    def __init__(self, spec, rows, columns):
        self.product = (spec, rows, columns)

    def times_s(self, batch, plans):
        names = [plan_name(plan) for plan in plans]
        seconds = {name: 1e-6 * len(name) for name in names[1:]}
        return seconds, {names[0]: "it differs from float64"}


class Bench:
    """A GPU that compiles everything but the kernels that ``broken`` names."""

    def __init__(self, broken=()):
        self.broken, self.compiled = broken, []

    def gpu_here(self):
        return H200

    def describe(self):
        return {"gpu": "a stand-in"}

    def kernel_key(self, gpu, product, plan):
        return plan.kernel, product.scheme, plan.warps

    def compile_all(self, tasks, seconds):
        self.compiled = tasks
        return ["no compiler" if plan.kernel in self.broken else "" for _, plan in tasks]

    def layer(self, spec, rows, columns):
        return Layer(spec, rows, columns)


def measured(**options):
    defaults = {"layers": [(4096, 4096), (1024, 1024)], "batches": (1, 16), "bench": Bench()}
    return measure_shapes(**defaults | options)


def test_every_product_is_measured_in_order():
    record = measured()
    products = [(r["scheme"], *r["shape"], r["batch"]) for r in record["results"]]
    assert products == [
        (spec, side, side, batch)
        for side, spec, batch in itertools.product((4096, 1024), ("fp4.25", "fp5.33"), (1, 16))
    ]
    assert record["gpu"] == {"sms": 132, "shared_bytes": 232_448, "capability": 90}


def test_times_are_those_of_all_candidates_but_one_that_failed():
    record = measured()
    for result in record["results"]:
        group = {"fp4.25": 4, "fp5.33": 3}[result["scheme"]]
        plans = possible_launches(H200, group, *result["shape"], result["batch"])
        names = [plan_name(plan) for plan in plans]
        assert list(result["us"]) == names[1:]
        assert result["us"][names[1]] == pytest.approx(len(names[1]))
        chosen = plan_launch(H200, group, *result["shape"], result["batch"])
        assert result["chosen"] == plan_name(chosen)
        assert chosen in plans
    assert set(record["failed"].values()) == {"it differs from float64"}
    assert len(record["failed"]) == len(record["results"])


def test_each_kernel_is_compiled_once():
    bench = Bench()
    measured(bench=bench)
    keys = [bench.kernel_key(H200, *task) for task in bench.compiled]
    assert len(keys) == len(set(keys)) > 5


def test_what_was_not_compiled_is_not_timed():
    record = measured(bench=Bench(broken=(1,)), batches=(16,))
    assert not any(name.startswith("gemv") for r in record["results"] for name in r["us"])
    assert all(len(r["us"]) > 1 for r in record["results"])
    assert "no compiler" in record["failed"].values()


def test_the_record_is_saved_after_each_layer():
    counts = []
    record = measured(save=lambda r: counts.append(len(r["results"])))
    assert counts == [2, 4, 6, 8]
    assert len(record["results"]) == 8


def test_no_product_is_begun_when_the_time_is_spent(monkeypatch):
    ticks = itertools.count()  # a second for every look at the clock
    monkeypatch.setattr(shapes.time, "monotonic", lambda: float(next(ticks)))
    cut = measured(seconds=8.0)
    assert 0 < len(cut["results"]) < 8
    whole = [(r["scheme"], r["shape"], r["batch"]) for r in measured(seconds=1e9)["results"]]
    part = [(r["scheme"], r["shape"], r["batch"]) for r in cut["results"]]
    assert part == whole[: len(part)]


def test_steps_are_said():
    lines = []
    measured(say=lines.append)
    assert "kernels" in lines[0]
    assert lines[-1].startswith("fp5.33 1024 1024 is done")


def test_the_layers_are_as_stated():
    assert len(set(shapes.LAYER_SHAPES)) == len(shapes.LAYER_SHAPES) == 24
    assert {(1024, 1024), (57344, 8192)} <= set(shapes.LAYER_SHAPES)
    assert Product("fp4.25", 8192, 4096, 1) in set(shapes._products([(8192, 4096)], (1,)))
