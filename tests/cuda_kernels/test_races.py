"""The emulator finds races in shared memory, and copies that are read too early."""

import numpy as np
import pytest
from gpu_cases import SMALL_GPU, Case

from amssim.launch.gemm import try_gemm
from amssim.launch.gemv import try_gemv
from amssim.launch.shapes import SINGLE
from amssim.launch.stream import try_stream
from cuda_kernels import ptx
from cuda_kernels.emulator.lanes import POISON, WARP, lanes
from cuda_kernels.emulator.races import Clocks, PhaseBarrier, SharedMemory
from cuda_kernels.forms import FORMS, FP4_25

PLACES = lanes(4 * np.arange(32), np.uint32)
ONES = (lanes(1, np.uint32),)
each_form = pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)


@pytest.fixture
def clocks():
    return Clocks(2)


@pytest.fixture
def shared():
    return SharedMemory(256, 2)


def be(number: int, shared: SharedMemory, clocks: Clocks) -> None:
    """Go on as one of two warps."""
    WARP.bind(None, [shared], (0, 1, number), (None, None), clocks)


def write(shared, places=PLACES):
    shared.store(places, ONES)


def read(shared, places=PLACES):
    shared.load(places, 1)


@pytest.mark.parametrize(("first", "second"), [(write, read), (read, write), (write, write)])
def test_what_no_barrier_orders_is_a_race(first, second, shared, clocks):
    be(0, shared, clocks)
    first(shared)
    first(shared)  # a warp does not race with itself
    be(1, shared, clocks)
    with pytest.raises(AssertionError, match=r"a race: warp 1 \w+ shared memory at 0"):
        second(shared)


def test_two_reads_are_no_race(shared, clocks):
    for number in (0, 1):
        be(number, shared, clocks)
        read(shared)


def test_a_barrier_orders_what_was_before_it(shared, clocks):
    be(0, shared, clocks)
    write(shared)
    clocks.join(slice(None))
    be(1, shared, clocks)
    read(shared)
    be(0, shared, clocks)
    with pytest.raises(AssertionError, match="a race: warp 0 writes"):
        write(shared)


@pytest.mark.parametrize(("first", "second"), [(write, read), (read, write), (write, write)])
def test_lanes_that_have_not_met_race(first, second, shared, clocks):
    turned = lanes(4 * ((np.arange(32) + 1) % 32), np.uint32)  # each lane at the next one's place
    be(0, shared, clocks)
    first(shared)
    second(shared)  # a lane does not race with itself
    clocks.meet(0)
    second(shared, turned)
    clocks.meet(0)
    first(shared)
    with pytest.raises(AssertionError, match=r"a race: warp 0 .+ another of its lanes"):
        second(shared, turned)


def test_two_lanes_that_write_one_word_race(shared, clocks):
    be(0, shared, clocks)
    shared.load(lanes(0, np.uint32), 1)  # all may read one
    with pytest.raises(AssertionError, match="another of its lanes reads"):
        shared.store(lanes(0, np.uint32), ONES)
    clocks.meet(0)
    with pytest.raises(AssertionError, match="two lanes write"):
        shared.store(lanes(0, np.uint32), ONES)


@each_form
def test_a_stream_whose_lanes_never_meet_is_a_race(form, monkeypatch):
    monkeypatch.setattr(Clocks, "meet", lambda self, warp: None)
    case = Case(form, 16, 2056, 3)
    found = try_stream(SMALL_GPU, form.group, *case.shape, 3, 4, 2, 1)
    with pytest.raises(AssertionError, match="another of its lanes"):
        case.emulate(found)


def test_an_arrival_is_heard_by_who_waits_for_its_phase(shared, clocks):
    barrier = PhaseBarrier(1)
    be(0, shared, clocks)
    write(shared)
    barrier.arrive()
    be(1, shared, clocks)
    barrier.wait(0)
    read(shared)
    be(0, shared, clocks)
    with pytest.raises(AssertionError, match="a race"):
        write(shared)  # nothing has told warp 0 that the reads are over


def test_a_copy_lands_when_it_is_waited_for(shared, clocks):
    be(0, shared, clocks)
    WARP.start_copy(PLACES, ONES, True)
    WARP.end_group()
    assert (shared.load(PLACES, 1)[0] == POISON).all()
    WARP.land_copies(1)
    assert (shared.load(PLACES, 1)[0] == POISON).all()
    WARP.land_copies(0)
    assert (shared.load(PLACES, 1)[0] == 1).all()


@each_form
def test_a_stream_that_does_not_wait_for_its_chunks_is_a_race(form, monkeypatch):
    monkeypatch.setattr(ptx.wait_for_phase, "model", lambda address, parity: None)
    case = Case(form, 40, 2056, 3)
    found = try_stream(SMALL_GPU, form.group, *case.shape, 3, 4, 2, 1)
    with pytest.raises(AssertionError, match="a race"):
        case.emulate(found)


def test_a_cluster_that_does_not_meet_before_it_adds_up_is_a_race(monkeypatch):
    monkeypatch.setattr(ptx.cluster_barrier, "model", lambda: None)
    case = Case(FP4_25, 40, 2056, 5)
    found = try_gemm(SMALL_GPU, FP4_25.group, *case.shape, 5, 4, 2)
    with pytest.raises(AssertionError, match="a race"):
        case.emulate(found)


def test_a_ring_that_is_read_before_its_copies_have_come_gives_no_result(monkeypatch):
    monkeypatch.setattr(WARP.__class__, "land_copies", lambda self, groups: None)
    case = Case(FP4_25, 40, 520, 1)
    shape = SINGLE._replace(threads=128, depth=2)
    found = try_gemv(SMALL_GPU, FP4_25.group, *case.shape, 1, shape, 1)
    assert not case.error(found) < 1e-3
