"""A burst on its way: copied to a slot in shared memory and read there, its shared bits turned."""

from numba import cuda

from amssim.launch.geometry import BURST, TAIL_BYTES, UNIT_BYTES
from cuda_kernels.forms.form import Form
from cuda_kernels.ptx import COPY_OWN, load_shared_word, load_shared_words, u32, u64


@cuda.jit(device=True, inline="always")
def turned(tail, units):
    """Shared bits, turned to where a unit that many further on in the burst is decoded."""
    return u32((tail << u32(4 * units)) | (tail >> u32((32 - 4 * units) % 32)))


def make_burst_copies(form: Form):
    """Make the device functions that copy a burst to a slot in shared memory, and read it there.

    What a lane copies it alone reads, so that no barrier is needed.
    """
    has_tails, copy_words, copy_word = form.has_tails, COPY_OWN[16], COPY_OWN[4]

    @cuda.jit(device=True, inline="always")
    def fetch_burst(sources, burst, wanted, slot):
        """Start to copy a burst, by its number in the matrix, where ``wanted``."""
        lane = u32(u32(cuda.threadIdx.x) & u32(31))
        at = u64(sources[0] + u64(burst) * u64(BURST * UNIT_BYTES))
        for u in range(BURST):
            to = u32(slot + lane * u32(16) + u32(u * UNIT_BYTES))
            copy_words(to, u64(at + u64(u * UNIT_BYTES)), wanted)
        if has_tails:
            to = u32(slot + u32(BURST * UNIT_BYTES) + lane * u32(4))
            copy_word(to, u64(sources[1] + u64(burst) * u64(TAIL_BYTES)), wanted)

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
