"""Kernels of given plans and the times of their replays, without a GPU."""

import pytest

from amssim.bench.gpu.planned import Product, kernel_key, least_seconds, load_kernel
from amssim.errors import UnsupportedError
from amssim.launch import Gpu, plan_launch, plan_name, possible_launches

pytest.importorskip("numba_cuda")
H200 = Gpu(132, 232_448, 90)
GROUPS = {"fp4.25": 4, "fp5.33": 3}


class Replay:
    """Takes the seconds that it is told, one after another, and the last again and again."""

    def __init__(self, *seconds):
        self.seconds, self.runs = list(seconds), 0

    def once_s(self):
        self.runs += 1
        return self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]


def key(product: Product, plan=None):
    spec, rows, columns, batch = product
    plan = plan or plan_launch(H200, GROUPS[spec], rows, columns, batch)
    return kernel_key(H200, product, plan)


def test_equal_kernels_have_equal_keys():
    tall, taller = (Product("fp4.25", rows, 8192, 1) for rows in (51200, 57344))
    assert key(tall) == key(taller)
    assert hash(key(tall)) == hash(key(taller))


@pytest.mark.parametrize(
    "other",
    [
        Product("fp5.33", 57344, 8192, 1),
        Product("fp4.25", 57344, 8192, 16),
        Product("fp4.25", 4096, 4096, 1),
    ],
    ids=lambda product: f"{product.scheme} {product.rows} {product.batch}",
)
def test_other_kernels_have_other_keys(other):
    assert key(Product("fp4.25", 57344, 8192, 1)) != key(other)


def test_launches_of_a_product_share_few_kernels():
    product = Product("fp5.33", 8192, 8192, 8)
    plans = possible_launches(H200, 3, 8192, 8192, 8)
    keys = {plan_name(plan): key(product, plan) for plan in plans}
    assert 4 < len(set(keys.values())) < len(keys)
    for name, found in keys.items():
        assert str(found[2]) + "w" in name, "warps are part of both"


def test_a_scheme_without_a_kernel_form_is_refused():
    plan = plan_launch(H200, 4, 4096, 4096, 1)
    with pytest.raises(UnsupportedError, match="fp6-e3m2 has no kernel form to be timed in"):
        kernel_key(H200, Product("fp6-e3m2", 4096, 4096, 1), plan)


def test_a_kernel_that_cannot_be_had_is_a_sentence():
    plan = plan_launch(H200, 4, 4096, 4096, 1)
    why = load_kernel(Product("fp6-e3m2", 4096, 4096, 1), plan)
    assert "has no kernel form" in why or "CUDA driver" in why


def test_the_least_of_several_replays_counts():
    replays = {"first": Replay(9.0), "other": Replay(9.0, 9.0, 3.0, 5.0, 4.0, 6.0)}
    assert least_seconds(replays) == {"first": 9.0, "other": 3.0}


def test_the_first_replays_warm_the_gpu_and_do_not_count():
    """A clock that was low at first."""
    seconds = least_seconds({"slow start": Replay(0.001, 5.0)})
    assert seconds["slow start"] == 5.0


def test_the_best_take_more_turns_than_the_others():
    replays = {f"{n} s": Replay(float(n)) for n in range(1, 21)}
    seconds = least_seconds(replays)
    assert seconds == {f"{n} s": float(n) for n in range(1, 21)}
    runs = [replay.runs for replay in replays.values()]
    assert min(runs[1:6]) > max(runs[6:])
    assert len(set(runs[6:])) == 1


def test_a_launch_that_improves_in_its_turns_is_given_its_best():
    replays = {"steady": Replay(2.0), "late": Replay(*[2.5] * 5, 1.0)}
    assert least_seconds(replays) == {"steady": 2.0, "late": 1.0}


def test_nothing_to_replay():
    assert least_seconds({}) == {}
