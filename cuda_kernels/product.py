"""Products of a layout: which launches multiply a batch, and what its activations need.

Nothing here belongs to one matrix: addresses of weights, activations and workspace come with each
call, so that all matrices of a layout share the launches.
"""

from __future__ import annotations

from typing import Protocol

from amssim.errors import InputError
from amssim.launch.choose import plan_launch
from amssim.launch.geometry import LaunchPlan
from cuda_kernels.driver import DriverLaunch, gpu_of, made_for
from cuda_kernels.gemv.block_scales import plan_block_scales
from cuda_kernels.kernel import KernelProblem, kernel_of
from cuda_kernels.layouts import NONE, Addresses, KernelLayout
from cuda_kernels.normalize.launch import Normalization, normalization, workspace_sizes
from cuda_kernels.parts.finish import OUT_BYTES
from cuda_kernels.plain.launch import PlainProduct

#: rows of x that are multiplied together: more are several products
MOST_BATCH = 2**15


class ReadyProduct(Protocol):
    """out[batch, rows] = x[batch, columns] W^T + bias, for all matrices of a layout."""

    @property
    def single(self) -> DriverLaunch | None:
        """Its one launch, if that is all of it for an x that begins at a multiple of 16."""

    def workspace_nbytes(self, x: int) -> int:
        """Bytes of the caller's memory that a product of x at this address takes; most often 0."""

    def __call__(
        self, stream: int, weights: Addresses, x: int, out: int, workspace: int = NONE
    ) -> None:
        """Launch it; all but ``weights`` are addresses or handles."""


class FormProduct:
    """A product on tensor cores.

    Args:
        layout: of the weights.
        x_dtype, dtype: of x, float16 or bfloat16, and of the result.
        batch: rows of x, up to `MOST_BATCH`.
    """

    def __init__(self, layout: KernelLayout, x_dtype: str, dtype: str, batch: int):
        self._x = (layout.device, x_dtype, batch, layout.columns)
        self._fits = x_dtype == "float16" and layout.columns % 8 == 0
        self._normalization: Normalization | None = None
        self._nbytes = workspace_sizes(batch, layout.columns)[1]
        x_bytes, out_bytes = 2 * (-(-layout.columns // 8) * 8), OUT_BYTES[dtype] * layout.rows
        self.parts: list[tuple[DriverLaunch, int, int, int]] = []
        for first in range(0, batch, layout.most_batch):
            problem = layout.problem(min(layout.most_batch, batch - first))
            plan = plan_problem(problem, layout.device)
            launch = kernel_of(plan).launch(layout.device, plan, problem, dtype)
            self.parts.append((launch, first * x_bytes, first * 4, first * out_bytes))
        self.single = self.parts[0][0] if self._fits and len(self.parts) == 1 else None
        if not self._fits:
            self.normalization()

    def normalization(self, stream: int | None = None) -> Normalization:
        """What brings x to rows that `launch` reads, if it is not such rows already."""
        if self._normalization is None:
            self._normalization = normalization(*self._x, stream)
        return self._normalization

    def workspace_nbytes(self, x: int) -> int:
        """Bytes of the caller's memory, at a multiple of 256, for x at this address."""
        return 0 if self._fits and not x % 16 else self._nbytes

    def __call__(
        self, stream: int, weights: Addresses, x: int, out: int, workspace: int = NONE
    ) -> None:
        """Multiply x; what the kernels cannot read as it is goes to the workspace first."""
        if self._fits and not x % 16:
            self.launch(stream, weights, x, NONE, out)
            return
        if not workspace or workspace % 16:
            raise InputError("this product needs a workspace that begins at a multiple of 16 bytes")
        normalize = self._normalization or self.normalization(stream)
        scales = normalize(stream, x, workspace)
        self.launch(stream, weights, workspace, scales, out)

    def launch(self, stream: int, weights: Addresses, x: int, x_scales: int, out: int) -> None:
        """Multiply float16 rows of whole 16 bytes, with a scale of each or 0 for none."""
        for launch, to_x, to_scale, to_out in self.parts:
            scales = x_scales and x_scales + to_scale
            launch(stream, weights, x + to_x, scales, out + to_out)


_READY: dict[tuple[KernelLayout, str, str, int], ReadyProduct] = {}


def ready_product(
    layout: KernelLayout, x_dtype: str, dtype: str, batch: int, stream: int | None = None
) -> ReadyProduct:
    """The product of x_dtype[batch, columns] with a result of ``dtype``, made when first asked for.

    Args:
        layout: of the weights.
        x_dtype: float16 or bfloat16.
        dtype: float16, bfloat16 or float32.
        batch: rows of x, 1 to `MOST_BATCH`.
        stream: handle of the stream that it is to be launched on, if that may be being captured.

    Raises:
        ResourceError: it needs a kernel that is not loaded, and the stream is being captured.
        InputError: no kernel fits the GPU.
    """
    key = (layout, x_dtype, dtype, batch)
    product = _READY.get(key)
    if product is None:
        make = PlainProduct if layout.form is None else FormProduct
        with made_for(layout.device, stream):
            product = _READY.setdefault(key, make(layout, x_dtype, dtype, batch))
    return product


def plan_problem(problem: KernelProblem, device: int) -> LaunchPlan:
    """The launch of a problem.

    Raises:
        InputError: none of its kernels fits the GPU.
    """
    gpu, form = gpu_of(device), problem.form
    sizes = (problem.rows, problem.columns, problem.batch)
    plan = (plan_block_scales if problem.scale_units else plan_launch)(gpu, form.group, *sizes)
    if not plan.kernel:
        raise InputError(f"no kernel takes a product of {sizes} on this GPU")
    return plan
