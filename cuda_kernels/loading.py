"""Everything that products will launch, compiled and loaded before a CUDA graph is captured."""

from __future__ import annotations

from collections.abc import Iterable

from cuda_kernels.dense.multiply import DENSE_BATCH, PANEL_BYTES, panel_counts
from cuda_kernels.dense.panel import dense_panel
from cuda_kernels.layouts import KernelLayout
from cuda_kernels.product import FormProduct, ready_product


def prepare(
    layouts: Iterable[KernelLayout], batches: Iterable[int], dtypes: Iterable[str], *,
    out_dtype: str | None = None, panel_bytes: int = PANEL_BYTES,
) -> None:  # fmt: skip
    """Load the kernels of all products of these layouts, batches and dtypes of x.

    A kernel that no process has compiled yet takes 2 to 10 s, a kernel on disk milliseconds.

    Args:
        layouts: of the matrices; equal ones count once.
        batches: rows of x.
        dtypes: of x, float16 or bfloat16.
        out_dtype: of the results, None for that of x.
        panel_bytes: of the panels of large batches.

    Raises:
        InputError: a product that no kernel takes on this GPU.
        ResourceError: a kernel could not be loaded, a graph is being captured for example.
    """
    each_batch, each_dtype = list(dict.fromkeys(batches)), list(dict.fromkeys(dtypes))
    for layout in dict.fromkeys(layouts):
        for dtype in each_dtype:
            for batch in each_batch:
                if batch >= DENSE_BATCH:
                    for count in panel_counts(layout, panel_bytes):
                        dense_panel(layout, dtype, count)
                    continue
                product = ready_product(layout, dtype, out_dtype or dtype, batch)
                if isinstance(product, FormProduct):
                    product.normalization()
