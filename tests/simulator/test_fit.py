"""A fit finds the parameters that made its data; data files and recorded gates hold together."""

import json

import numpy as np
import pytest
from simulator_cases import H200, PLAIN

from amssim.hardware import profile
from amssim.simulator.baselines import BASELINES, bit_ratio, constants, roofline
from amssim.simulator.compiled import latencies
from amssim.simulator.descriptors import _FITS, descriptor, kernels
from amssim.simulator.fitting import BOUNDS, FitGroup, Measurements, fit, held_out, predicted_s


def problems(n=60, seed=0) -> Measurements:
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(8, 256, n) * 128.0, rng.integers(8, 128, n) * 128.0
    batch, bits = rng.choice([1.0, 8.0], n), np.full(n, 4.25)
    return Measurements(rows, columns, batch, bits, np.full(n, np.inf), np.ones(n))


def test_known_parameters_come_back():
    truth = {"fixed_s": 2.3e-6, "efficiency": 0.83}
    m = problems()
    m = m._replace(seconds=latencies(H200, PLAIN._replace(**truth), *m[:5]))
    group = FitGroup(H200, PLAIN, m)
    found = fit([group], list(truth))
    assert found.parameters == pytest.approx(truth, rel=0.01)
    assert predicted_s(group, found.parameters) == pytest.approx(m.seconds, rel=1e-3)


def test_one_outlier_does_not_decide():
    truth = {"fixed_s": 2.3e-6, "efficiency": 0.83}
    m = problems()
    seconds = latencies(H200, PLAIN._replace(**truth), *m[:5])
    seconds[5] *= 4
    found = fit([FitGroup(H200, PLAIN, m._replace(seconds=seconds))], list(truth))
    assert found.parameters == pytest.approx(truth, rel=0.05)


def test_a_group_weighs_what_it_is_told():
    # two devices that disagree: the one with a weight of 9 decides
    m = problems()
    slow, fast = (
        FitGroup(
            H200, PLAIN, m._replace(seconds=latencies(H200, PLAIN._replace(fixed_s=s), *m[:5]))
        )
        for s in (4e-6, 1e-6)
    )
    for weights, nearer in (((9.0, 1.0), 4e-6), ((1.0, 9.0), 1e-6)):
        groups = [g._replace(weight=w) for g, w in zip((slow, fast), weights, strict=True)]
        found = fit(groups, ["fixed_s"]).parameters["fixed_s"]
        assert found == pytest.approx(nearer, rel=0.15)


def test_half_of_the_shapes_are_held_out_whole():
    m = problems(200)
    unseen = held_out(m.rows, m.columns)
    shapes = list(zip(m.rows, m.columns, strict=True))
    assert not {s for s, u in zip(shapes, unseen, strict=True) if u} & {
        s for s, u in zip(shapes, unseen, strict=True) if not u
    }
    assert abs(unseen.mean() - 0.5) < 0.05


def test_shipped_fits_keep_to_their_bounds_and_name_their_data():
    for kernel in kernels():
        path = _FITS / f"{kernel}.json"
        if not path.exists():
            continue
        record = json.loads(path.read_text())
        assert record["provenance"]["command"] and record["provenance"]["sha256"]
        names = {v.name for v in descriptor(kernel).variants}
        for entry in record["fits"]:
            assert entry["variant"] in names and len(entry["parameters"]) <= 6
            for name, value in entry["parameters"].items():
                low, high = BOUNDS[name][1:]
                assert low * 0.999 <= value <= high * 1.001, (kernel, name, value)


def test_simple_models_by_hand():
    h200 = profile("h200")
    arrays = (np.float64([4096]), np.float64([4096]), np.float64([1]), np.float64([16]))
    assert bit_ratio(h200, *arrays)[0] == pytest.approx(2 * 4096**2 / 4.8e12)
    moved = 2 * 4096**2 + 2 * 8192
    assert roofline(h200, *arrays)[0] == pytest.approx(moved / 4.8e12)
    assert constants(h200, *arrays)[0] == pytest.approx(moved / (0.8 * 4.8e12) + 3e-6)
    many = (*arrays[:2], np.float64([4096]), arrays[3])
    assert roofline(h200, *many)[0] == pytest.approx(2 * 4096**3 / 989e12)
    assert set(BASELINES) == {"16/bits", "roofline", "constants"}
