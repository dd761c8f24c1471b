"""What brings a warp's weights to it, some bursts ahead of their use.

There are two feeds, which are used in the same way. One keeps a single burst on its way, in
*registers*, and leaves shared memory to activations. The other keeps ``depth`` bursts on their way
in a *ring* in shared memory; each lane reads there what it has copied itself, so that no barrier is
needed. A feed is five device functions:

    state, place = start(sources, place, slice_end, span)     before all else
    tail, state = open_burst(state, sources, place, more)     shared bits of the next burst
    words, scales = take(u, state)                            its unit u
    state = refill(u, state, sources, place, more)            when u is decoded: the next is taken
    state, place = close_burst(state, place, slice_end)

``place`` is where the burst to fetch next lies, ``more`` whether the warp's range has it, and
``sources`` are this lane's addresses of (words, tails, scales). Bursts are fetched in the order in
which they are multiplied. The stream fetches and reads bursts itself (`make_burst_copies`).
"""

from numba import cuda

from amssim.launch.geometry import BURST, TAIL_BYTES, UNIT_BYTES, burst_bytes
from cuda_kernels.forms.form import Form
from cuda_kernels.gemv.walk import make_steps
from cuda_kernels.parts.bursts import make_burst_copies
from cuda_kernels.ptx import (
    end_group,
    f32,
    load_pair_if,
    load_word_if,
    load_words_if,
    u32,
    u64,
    wait_for_all_but,
)


def make_register_feed(form: Form, split: bool, team: int, scale_units: int):
    """Make the feed that keeps one burst under way in registers, with scales per block or not."""
    inside, onward = make_steps(split, team)
    has_tails, one = form.has_tails, (f32(1), f32(1))
    pair_bytes = 64 * BURST // max(1, scale_units)  # of scales of a burst

    @cuda.jit(device=True, inline="always")
    def fetch(u, sources, place, wanted):
        """Start the loads of unit ``u`` of the burst at ``place``: its words, and the scales of
        this lane's two rows in it."""
        words, _, pairs = sources
        at = u64(words + u64(place[0]) * u64(BURST * UNIT_BYTES) + u64(u * UNIT_BYTES))
        if scale_units:
            pair = u64(pairs + u64(place[0]) * u64(pair_bytes) + u64(u // scale_units * 64))
            return load_words_if(at, wanted), load_pair_if(pair, wanted)
        return load_words_if(at, wanted), one

    @cuda.jit(device=True, inline="always")
    def fetch_tail(sources, place, wanted):
        """Start the load of the shared bits of the burst at ``place``."""
        if has_tails:
            return load_word_if(u64(sources[1] + u64(place[0]) * u64(TAIL_BYTES)), wanted)
        return u32(0)

    @cuda.jit(device=True, inline="always")
    def start(sources, place, slice_end, span):
        i, end, _ = span
        place, some = inside(place, slice_end), u32(i < end)
        tail = fetch_tail(sources, place, some)
        unit0, unit1 = fetch(0, sources, place, some), fetch(1, sources, place, some)
        unit2, unit3 = fetch(2, sources, place, some), fetch(3, sources, place, some)
        return (unit0, unit1, unit2, unit3, tail), onward(place, slice_end)

    @cuda.jit(device=True, inline="always")
    def open_burst(state, sources, place, more):
        unit0, unit1, unit2, unit3, tail = state
        return tail, (unit0, unit1, unit2, unit3, fetch_tail(sources, place, more))

    @cuda.jit(device=True, inline="always")
    def take(u, state):
        return state[0]

    @cuda.jit(device=True, inline="always")
    def refill(u, state, sources, place, more):
        _, unit1, unit2, unit3, tail = state
        return unit1, unit2, unit3, fetch(u, sources, place, more), tail

    @cuda.jit(device=True, inline="always")
    def close_burst(state, place, slice_end):
        return state, onward(place, slice_end)

    return start, open_burst, take, refill, close_burst


def make_ring_feed(form: Form, split: bool, team: int, depth: int, early: bool, whole: bool):
    """Make the feed that keeps ``depth`` bursts under way in shared memory.

    A burst goes to registers as a whole, and its slot is refilled at once: the assembler puts three
    idle loads before each group of ``cp.async``.

    Args:
        early: the grid starts before the one ahead of it ends. A warp then asks for its first
            bursts one by one, when the one before has come: else the activations of the grid ahead
            would queue behind all these weights in the L2 cache, and that grid would wait.
        whole: the ring holds all bursts of a warp. Nothing is fetched in the loop, nor waited for:
            who brings the activations has waited for all copies (`cuda_kernels.gemv.stage`).
    """
    inside, onward = make_steps(split, team)
    fetch_burst, tail_at, words_at = make_burst_copies(form)
    size, wait, arrived = burst_bytes(form.group), wait_for_all_but(depth - 1), wait_for_all_but(0)

    @cuda.jit(device=True, inline="always")
    def start(sources, place, slice_end, span):
        i, end, ring = span
        place = inside(place, slice_end)
        for d in range(depth):
            some = u32(u32(i + u32(d * BURST * team)) < end)
            if early:
                arrived()
            fetch_burst(sources, place[0], some, u32(ring + u32(d * size)))
            end_group()
            place = onward(place, slice_end)
        nothing = (u32(0), u32(0), u32(0), u32(0))
        return (ring, ring, nothing, nothing, nothing, nothing), place

    @cuda.jit(device=True, inline="always")
    def open_burst(state, sources, place, more):
        slot, ring = state[0], state[1]
        if not whole:
            wait()
        tail, unit0, unit1 = tail_at(slot), words_at(0, slot), words_at(1, slot)
        unit2, unit3 = words_at(2, slot), words_at(3, slot)
        if not whole:
            fetch_burst(sources, place[0], more, slot)
            end_group()
        return tail, (slot, ring, unit0, unit1, unit2, unit3)

    @cuda.jit(device=True, inline="always")
    def take(u, state):
        return state[2], (f32(1), f32(1))

    @cuda.jit(device=True, inline="always")
    def refill(u, state, sources, place, more):
        slot, ring, _, unit1, unit2, unit3 = state
        return slot, ring, unit1, unit2, unit3, unit3

    @cuda.jit(device=True, inline="always")
    def close_burst(state, place, slice_end):
        slot, ring, unit0, unit1, unit2, unit3 = state
        slot = u32(slot + u32(size))
        if slot == u32(ring + u32(depth * size)):
            slot = ring
        return (slot, ring, unit0, unit1, unit2, unit3), onward(place, slice_end)

    return start, open_burst, take, refill, close_burst
