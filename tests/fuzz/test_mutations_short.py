"""A short run of the changes of which CONTRIBUTING.md's long run makes ten million."""

import time
from random import Random

import pytest

from amssim.errors import FormatError
from fuzz.mutate_checkpoint import run_batch
from fuzz.targets import Target, Wrong, targets

SECONDS = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return targets(tmp_path_factory.mktemp("fuzz"))


def test_changes_end_in_equal_data_or_an_error_of_amssims(made):
    end, batch = time.perf_counter() + SECONDS, 0
    while time.perf_counter() < end:
        outcomes = run_batch(made, seed=0, batch=batch, count=100)
        assert sum(outcomes.values()) == 100
        batch += 1


def test_every_target_passes_some_changes_and_refuses_others(made):
    for target in made:
        outcomes = {target.once(Random(number)) for number in range(60)}
        assert "passed" in outcomes or target.name == "file of a set"
        assert len(outcomes) > 1 or target.name == "progress lines"


def test_a_batch_can_be_made_again(made):
    assert run_batch(made, 3, 7, 50) == run_batch(made, 3, 7, 50) != run_batch(made, 3, 8, 50)


def test_a_fault_is_no_outcome_and_says_where_it_was():
    def fail(raw):
        raise KeyError(raw)

    with pytest.raises(KeyError, match="raw bytes") as fault:
        run_batch([Target("a", 1, lambda rng: b"raw bytes", fail)], 0, 5, 10)
    assert fault.value.raw == b"raw bytes"
    assert fault.value.__notes__ == ["a: seed 0, batch 5, change 0"]


def test_an_error_of_several_lines_is_a_fault():
    def fail(raw):
        raise FormatError("one\ntwo")

    with pytest.raises(Wrong, match="several lines"):
        Target("a", 1, lambda rng: b"", fail).once(Random(0))
