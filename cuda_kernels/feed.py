"""What brings a warp's weights to it, some bursts ahead of their use.

Two feeds with one face. In *registers*, a burst is under way: nothing is spared for small blocks
with many activations. In a *ring* in shared memory, ``depth`` bursts are: what a lane copies there
it alone reads, so that no barrier is needed. A feed is five device functions:

    state, place = start(sources, place, slice_end, span)     before all else
    tail, state = open_burst(state, sources, place, more)     shared bits of the next burst
    words, scales = take(u, state)                            its unit u
    state, place = refill(u, state, sources, place, slice_end, more)    when u is decoded
    state, place = close_burst(state, place, slice_end)

The stream has `make_burst_copies` instead: whole bursts, each fetched when the one before it in its
slot has been multiplied.

``place`` is of the unit to fetch next, ``more`` whether the warp's range has it, and ``sources``
(words, tails, scales) are this lane's addresses. Units are fetched in the order of use.
"""

from numba import cuda

from amssim.launch.grids import BURST, UNIT_BYTES, burst_bytes
from cuda_kernels.forms import Form
from cuda_kernels.ptx import (
    COPY_OWN,
    end_group,
    f32,
    load_pair_if,
    load_shared_word,
    load_shared_words,
    load_word_if,
    load_words_if,
    u32,
    u64,
    wait_for_all_but,
)
from cuda_kernels.walk import make_steps


def make_register_feed(form: Form, split: bool, team: int, scale_units: int):
    """Make the feed that keeps one burst under way in registers, with scales per block or not."""
    forward, inside, pass_others = make_steps(split, team)
    has_tails, shift = form.has_tails, 3 + scale_units.bit_length() - 1
    one = (f32(1), f32(1))

    @cuda.jit(device=True, inline="always")
    def fetch(sources, place, wanted):
        """Start the loads of a unit: its words, and the scales of this lane's two rows in it."""
        words, _, pairs = sources
        if scale_units:
            at = u64((place[0] >> u64(shift)) & u64(0xFFFFFFFFFFFFFFC0))
            return load_words_if(u64(words + place[0]), wanted), load_pair_if(
                u64(pairs + at), wanted
            )
        return load_words_if(u64(words + place[0]), wanted), one

    @cuda.jit(device=True, inline="always")
    def fetch_tail(sources, place, wanted):
        """Start the load of the shared bits of the burst at ``place``."""
        if has_tails:
            return load_word_if(u64(sources[1] + (place[0] >> u64(4))), wanted)
        return u32(0)

    @cuda.jit(device=True, inline="always")
    def start(sources, place, slice_end, span):
        i, end, _ = span
        place = inside(place, slice_end)
        tail = fetch_tail(sources, place, u32(i < end))
        unit0 = fetch(sources, place, u32(i < end))
        unit1, unit2, unit3 = unit0, unit0, unit0
        for u in range(1, BURST):
            place = forward(place, slice_end)
            unit1, unit2, unit3 = unit2, unit3, fetch(sources, place, u32(i + u32(u) < end))
        place = pass_others(forward(place, slice_end), slice_end)
        return (unit0, unit1, unit2, unit3, tail), place

    @cuda.jit(device=True, inline="always")
    def open_burst(state, sources, place, more):
        unit0, unit1, unit2, unit3, tail = state
        return tail, (unit0, unit1, unit2, unit3, fetch_tail(sources, place, more))

    @cuda.jit(device=True, inline="always")
    def take(u, state):
        return state[0]

    @cuda.jit(device=True, inline="always")
    def refill(u, state, sources, place, slice_end, more):
        _, unit1, unit2, unit3, tail = state
        state = (unit1, unit2, unit3, fetch(sources, place, more), tail)
        return state, forward(place, slice_end)

    @cuda.jit(device=True, inline="always")
    def close_burst(state, place, slice_end):
        return state, pass_others(place, slice_end)

    return start, open_burst, take, refill, close_burst


def make_burst_copies(form: Form):
    """Make the device functions that copy a burst to a slot in shared memory, and read it there.

    What a lane copies it alone reads, so that no barrier is needed.
    """
    has_tails, copy_words, copy_word = form.has_tails, COPY_OWN[16], COPY_OWN[4]

    @cuda.jit(device=True, inline="always")
    def fetch_burst(sources, at, unit, end, slot):
        """Start to copy the burst at offset ``at``, those of its units before ``end``."""
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        words, tails = sources
        for u in range(BURST):
            wanted = u32(u32(unit + u32(0 if has_tails else u)) < end)
            to = u32(slot + lane * u32(16) + u32(u * UNIT_BYTES))
            copy_words(to, u64(words + at + u64(u * UNIT_BYTES)), wanted)
        if has_tails:
            to = u32(slot + u32(BURST * UNIT_BYTES) + lane * u32(4))
            copy_word(to, u64(tails + (at >> u64(4))), u32(unit < end))

    @cuda.jit(device=True, inline="always")
    def tail_at(slot):
        """The shared bits of a burst."""
        if has_tails:
            lane = u32(u32(cuda.threadIdx.x) & u32(31))
            return load_shared_word(u32(slot + u32(BURST * UNIT_BYTES) + lane * u32(4)))
        return u32(0)

    @cuda.jit(device=True, inline="always")
    def words_at(u, slot):
        """Unit ``u`` of a burst."""
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        return load_shared_words(u32(slot + u32(u * UNIT_BYTES) + lane * u32(16)))

    return fetch_burst, tail_at, words_at


def make_ring_feed(form: Form, split: bool, team: int, depth: int):
    """Make the feed that keeps ``depth`` bursts under way in shared memory."""
    forward, inside, pass_others = make_steps(split, team)
    _, tail_at, words_at = make_burst_copies(form)
    has_tails, size, stride = form.has_tails, burst_bytes(form.group), u32(BURST * team)
    copy_words, copy_word, wait = COPY_OWN[16], COPY_OWN[4], wait_for_all_but(depth - 1)

    @cuda.jit(device=True, inline="always")
    def fetch(u, sources, place, slot, wanted):
        """Start to copy unit ``u`` of a burst."""
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        to = u32(slot + u32(u * UNIT_BYTES) + lane * u32(16))
        copy_words(to, u64(sources[0] + place[0]), wanted)

    @cuda.jit(device=True, inline="always")
    def fetch_tail(sources, place, slot, wanted):
        """Start to copy the shared bits of the burst at ``place``."""
        if has_tails:
            lane = u32(u32(cuda.threadIdx.x) & u32(31))
            to = u32(slot + u32(BURST * UNIT_BYTES) + lane * u32(4))
            copy_word(to, u64(sources[1] + (place[0] >> u64(4))), wanted)

    @cuda.jit(device=True, inline="always")
    def start(sources, place, slice_end, span):
        i, end, ring = span
        place = inside(place, slice_end)
        for d in range(depth):
            slot = u32(ring + u32(d * size))
            fetch_tail(sources, place, slot, u32(i < end))
            for u in range(BURST):
                fetch(u, sources, place, slot, u32(u32(i + u32(u)) < end))
                place = forward(place, slice_end)
            end_group()
            place, i = pass_others(place, slice_end), u32(i + stride)
        return (ring, ring), place

    @cuda.jit(device=True, inline="always")
    def open_burst(state, sources, place, more):
        slot = state[0]
        wait()
        tail = tail_at(slot)
        fetch_tail(sources, place, slot, more)
        return tail, state

    @cuda.jit(device=True, inline="always")
    def take(u, state):
        return words_at(u, state[0]), (f32(1), f32(1))

    @cuda.jit(device=True, inline="always")
    def refill(u, state, sources, place, slice_end, more):
        fetch(u, sources, place, state[0], more)
        return state, forward(place, slice_end)

    @cuda.jit(device=True, inline="always")
    def close_burst(state, place, slice_end):
        slot, ring = state
        end_group()
        slot = u32(slot + u32(size))
        if slot == u32(ring + u32(depth * size)):
            slot = ring
        return (slot, ring), pass_others(place, slice_end)

    return start, open_burst, take, refill, close_burst
