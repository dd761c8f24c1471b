"""Every PTX instruction the kernels use that numba.cuda has no word for, each with its model.

A function's body is what its instructions compute, on 32-lane numpy registers; see
`cuda_kernels.ptx.inline`. Nothing outside this folder holds PTX.
"""

from cuda_kernels.ptx.barriers import arrive, make_barrier, wait_for_phase
from cuda_kernels.ptx.copies import (
    COPY_OWN,
    end_group,
    finish_copies,
    publish,
    start_copy,
    wait_for_all_but,
)
from cuda_kernels.ptx.dense import (
    as_f32,
    copy_out,
    f32_of_half,
    load_half_if,
    scatter_of,
    store_half_if,
    store_word_if,
)
from cuda_kernels.ptx.inline import f32, u32, u64
from cuda_kernels.ptx.memory import (
    STORE,
    cluster_barrier,
    keep,
    leave_cluster,
    load_cluster,
    load_f32,
    load_pair_if,
    load_shared,
    load_shared_f32,
    load_shared_word,
    load_shared_words,
    load_word_if,
    load_words_if,
    shared_address,
    start_next_grid,
    store_shared,
    store_shared_f32,
    wait_for_cluster,
    wait_for_previous_grid,
)
from cuda_kernels.ptx.pieces import load_piece_of, order_piece_of, store_piece_of
from cuda_kernels.ptx.tensor import contract, store_fragments
from cuda_kernels.ptx.warpgroup import contract_by_warpgroup, core_matrix_bytes, store_core_matrices

__all__ = [
    "COPY_OWN",
    "STORE",
    "arrive",
    "as_f32",
    "cluster_barrier",
    "contract",
    "contract_by_warpgroup",
    "copy_out",
    "core_matrix_bytes",
    "end_group",
    "f32",
    "f32_of_half",
    "finish_copies",
    "keep",
    "leave_cluster",
    "load_cluster",
    "load_f32",
    "load_half_if",
    "load_pair_if",
    "load_piece_of",
    "load_shared",
    "load_shared_f32",
    "load_shared_word",
    "load_shared_words",
    "load_word_if",
    "load_words_if",
    "make_barrier",
    "order_piece_of",
    "publish",
    "scatter_of",
    "shared_address",
    "start_copy",
    "start_next_grid",
    "store_core_matrices",
    "store_fragments",
    "store_half_if",
    "store_piece_of",
    "store_shared",
    "store_shared_f32",
    "store_word_if",
    "u32",
    "u64",
    "wait_for_all_but",
    "wait_for_cluster",
    "wait_for_phase",
    "wait_for_previous_grid",
]
