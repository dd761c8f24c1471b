"""Every PTX instruction the kernels use that numba.cuda has no word for, each with its model.

A function's body is what its instructions compute, on 32-lane numpy registers; see
`cuda_kernels.inline`. Nothing outside this folder holds PTX.
"""

from cuda_kernels.inline import f32, u32, u64
from cuda_kernels.ptx.decode import DECODE
from cuda_kernels.ptx.dense import (
    SCATTER,
    as_f32,
    copy_out,
    load_half_if,
    store_half_if,
)
from cuda_kernels.ptx.memory import (
    STORE,
    cluster_barrier,
    keep,
    load_cluster,
    load_f32,
    load_shared,
    load_shared_f32,
    load_word_if,
    load_words_if,
    shared_address,
    start_next_grid,
    store_shared,
    store_shared_f32,
    wait_for_previous_grid,
)
from cuda_kernels.ptx.pieces import LOAD_PIECE, STORE_PIECE
from cuda_kernels.ptx.tensor import contract, store_fragments

__all__ = [
    "DECODE",
    "LOAD_PIECE",
    "SCATTER",
    "STORE",
    "STORE_PIECE",
    "as_f32",
    "cluster_barrier",
    "contract",
    "copy_out",
    "f32",
    "keep",
    "load_cluster",
    "load_f32",
    "load_half_if",
    "load_shared",
    "load_shared_f32",
    "load_word_if",
    "load_words_if",
    "shared_address",
    "start_next_grid",
    "store_fragments",
    "store_half_if",
    "store_shared",
    "store_shared_f32",
    "u32",
    "u64",
    "wait_for_previous_grid",
]
