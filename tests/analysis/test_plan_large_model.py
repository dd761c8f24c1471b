"""The plan for a large model: its figures are those of the code, and its sums are right."""

import pytest

from amssim.checkpoint.jobs.pieces import TASK_ELEMENTS
from amssim.checkpoint.safetensors.progress_lines import encode_line


@pytest.fixture
def plan():
    import plan_large_model

    return plan_large_model


def test_work_is_cut_as_the_code_cuts_it(plan):
    assert plan.TASK_WEIGHTS == TASK_ELEMENTS
    line = {"number": int(plan.WEIGHTS / TASK_ELEMENTS), "crcs": [2**32 - 1] * 2, "source_crcs": []}
    assert len(encode_line(line)) <= plan.JOURNAL_LINE <= 1.2 * len(encode_line(line))


def test_bytes_are_those_of_the_format(plan):
    """16 bits hold three weights, a row of 7168 has a scale of 4 bytes, 1 % stays BF16."""
    a_row = 2 * -(-7168 // 3) + 4
    rows = 0.99 * 800e9 / 7168
    assert plan.result() == pytest.approx(rows * a_row + 0.01 * 1.6e12, rel=1e-3)
    assert plan.source() == 1.6e12


def test_a_stage_takes_as_long_as_its_slowest_resource(plan):
    stage = plan.Stage("", read=320e9, written=80e9, cpu=1024)
    assert stage.limits(machines=32, disk=40e9) == pytest.approx(
        {"processors": 2.0, "network": 10 / 2.9, "shared disk": 10.0}
    )
    assert (stage.seconds(32, 40e9), stage.bound(32, 40e9)) == (10.0, "shared disk")
    assert stage.bound(1, 40e9) == "network"


def test_every_byte_is_read_once_and_the_result_once_more(plan):
    read = sum(stage.read for stage in plan.stages())
    written = sum(stage.written for stage in plan.stages())
    assert read == pytest.approx(plan.source() + plan.result(), rel=1e-3)
    assert written == pytest.approx(plan.result(), rel=1e-3)
