"""Products on tensor cores: which launch multiplies a batch, and what its activations need."""

from __future__ import annotations

from functools import cached_property

from amssim.errors import InputError
from amssim.launch.choose import plan_launch
from amssim.launch.geometry import LaunchPlan
from cuda_kernels.arrays import Adopted
from cuda_kernels.driver import DriverLaunch, gpu_of
from cuda_kernels.gemv.block_scales import plan_block_scales
from cuda_kernels.kernel import KernelProblem, kernel_of
from cuda_kernels.normalize.launch import Normalization
from cuda_kernels.normalize.workspace import workspace_of
from cuda_kernels.weights import NONE, FormWeights


class ReadyProduct:
    """A product of one batch and two dtypes, to be launched again and again.

    Args:
        launch: what multiplies float16 rows that begin at multiples of 16 bytes.
        device: ordinal of the GPU.
        x_dtype, batch, columns: of x; what does not lie so is brought to a workspace first.
    """

    def __init__(self, launch: DriverLaunch, device: int, x_dtype: str, batch: int, columns: int):
        self.launch = launch
        self._device, self._x = device, (x_dtype, batch, columns)
        self._fits = x_dtype == "float16" and columns % 8 == 0

    def __call__(self, stream: int, source: int, target: int) -> None:
        """Multiply x at the address ``source``; the result goes to ``target``."""
        if self._fits and not source % 16:
            self.launch(stream, source, NONE, target)
            return
        workspace = workspace_of(self._device, stream)
        with workspace.lock:
            rows = workspace.room(self._normalization.nbytes)
            scales = self._normalization(stream, source, rows)
            self.launch(stream, rows, scales, target)

    @cached_property
    def _normalization(self) -> Normalization:
        return Normalization(self._device, *self._x)


class Products:
    """All products of one matrix, one for each batch and dtypes, made when first needed."""

    def __init__(self, weights: FormWeights):
        self._weights = weights
        self._ready: dict[tuple[str, str, int], ReadyProduct] = {}

    def multiply(self, x: Adopted, out: Adopted, batch: int, stream: int) -> ReadyProduct | None:
        """out[batch, rows] = x[batch, columns] W^T + bias, by as many launches as it takes.

        Returns:
            The product, if it was one launch: it can be repeated with other addresses.
        """
        weights, size = self._weights, 4 if out.dtype == "float32" else 2
        for first in range(0, batch, weights.most_batch):
            product = self.product(x.dtype, out.dtype, min(weights.most_batch, batch - first))
            source = x.address + 2 * first * weights.columns
            product(stream, source, out.address + size * first * weights.rows)
        return product if batch <= weights.most_batch else None

    def product(self, x_dtype: str, dtype: str, batch: int) -> ReadyProduct:
        """The product of x_dtype[batch, columns] with a result of ``dtype``."""
        key = (x_dtype, dtype, batch)
        if key not in self._ready:
            self._ready[key] = self._made(x_dtype, dtype, batch)
        return self._ready[key]

    def _made(self, x_dtype: str, dtype: str, batch: int) -> ReadyProduct:
        weights = self._weights
        problem = weights.problem(batch)
        plan = plan_problem(problem, weights.device)
        launch = kernel_of(plan).launch(weights.device, plan, problem, dtype, **weights.addresses)
        return ReadyProduct(launch, weights.device, x_dtype, batch, weights.columns)


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
