"""Weights of the GEMM kernels: a warp owns two row tiles, whose units it loads side by side."""

from numba import cuda

from amssim.launch.geometry import UNIT_BYTES
from cuda_kernels.forms.form import Form
from cuda_kernels.ptx import load_word_if, load_words_if, u32, u64


def make_pairs(form: Form):
    """Make the device functions that load units of both row tiles, and their shared bits.

    ``at`` is the address or offset of the upper tile's unit 0, ``below`` the bytes from there to
    the lower tile's, ``inside`` whether each of the tiles exists.
    """
    has_tails = form.has_tails

    @cuda.jit(device=True, inline="always")
    def fetch_unit(u, at, below, wanted, inside):
        """Start the loads of unit ``u``: (upper words, lower words)."""
        upper = load_words_if(u64(at + u64(u * UNIT_BYTES)), u32(wanted * inside[0]))
        lower = load_words_if(u64(at + below + u64(u * UNIT_BYTES)), u32(wanted * inside[1]))
        return upper, lower

    @cuda.jit(device=True, inline="always")
    def fetch_units(at, below, wanted, inside):
        """Start the loads of four units."""
        return (
            fetch_unit(0, at, below, wanted, inside),
            fetch_unit(1, at, below, wanted, inside),
            fetch_unit(2, at, below, wanted, inside),
            fetch_unit(3, at, below, wanted, inside),
        )

    @cuda.jit(device=True, inline="always")
    def fetch_tails(tails, at, below, wanted, inside):
        """Start the loads of the shared bits of the four units from offset ``at`` on."""
        if has_tails:
            upper = load_word_if(u64(tails + (at >> u64(4))), u32(wanted * inside[0]))
            lower = u64(tails + (u64(at + below) >> u64(4)))
            return upper, load_word_if(lower, u32(wanted * inside[1]))
        return u32(0), u32(0)

    return fetch_units, fetch_tails
