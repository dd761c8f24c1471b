"""A kernel from its Python source to a launch: options, machine code, arguments by name.

Each kernel's file ends in its `KERNEL`, which is all that others need to know of it. Its signature
is read from its annotated parameters (`cuda_kernels.signature`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, TypeAlias

from amssim.launch.geometry import KERNEL_NAMES, Gpu, LaunchPlan, starts_early
from cuda_kernels.compile import compile_ptx
from cuda_kernels.driver import (
    DriverLaunch,
    Function,
    gpu_of,
    on_device,
    refuse_to_load_while_capturing,
)
from cuda_kernels.forms.form import Form
from cuda_kernels.ptx_cache import cached
from cuda_kernels.signature import signature

#: Options for the maker of a kernel, and arguments of the kernel, by name.
Options: TypeAlias = dict[str, Any]
Arguments: TypeAlias = dict[str, int]
#: The arguments of one matrix, and of one product with it: launches are shared by all of a shape.
OF_WEIGHTS = ("weights", "tails", "scales", "bias")
CHANGING = ("x", "x_scales", "out")


@dataclass(frozen=True)
class KernelProblem:
    """A product that a kernel is asked for: out[batch, rows] = x[batch, columns] W^T.

    Args:
        form: that holds the weights.
        rows, columns: of the weights.
        batch: rows of x.
        scale_units: units that share stored scales, 0 for a scale per row.
    """

    form: Form
    rows: int
    columns: int
    batch: int
    scale_units: int = 0

    @property
    def sizes(self) -> Arguments:
        """The arguments that every kernel of a product has; rows of x are whole 16 bytes."""
        return {
            "rows": self.rows,
            "k_columns": -(-self.columns // 8) * 8,
            "batch": self.batch,
            "units": self.form.units(self.columns),
            "row_tiles": self.form.tiles(self.rows),
        }


def no_options(plan: LaunchPlan, problem: KernelProblem, gpu: Gpu) -> Options:
    """Of a kernel whose machine code does not depend on the plan."""
    return {}


def no_arguments(plan: LaunchPlan, problem: KernelProblem) -> Arguments:
    """Of a kernel with no arguments but the sizes of the problem."""
    return {}


@dataclass(frozen=True, eq=False)
class Kernel:
    """One kernel.

    Args:
        make: options -> the Python function; its first arguments are a form, if it reads weights,
            and a dtype.
        options_of: (plan, problem, GPU) -> the other options.
        arguments_of: (plan, problem) -> the arguments that only this kernel has.
    """

    make: Callable[..., Callable[..., None]]
    options_of: Callable[[LaunchPlan, KernelProblem, Gpu], Options] = no_options
    arguments_of: Callable[[LaunchPlan, KernelProblem], Arguments] = no_arguments

    def ptx(self, gpu: Gpu, bounds: tuple[int, int], *first: Any, **options: Any) -> str:
        """PTX for a GPU, compiled or read from disk.

        Args:
            gpu: only its capability counts.
            bounds: (threads per block, blocks for which a multiprocessor has room).
            first, options: what ``make`` takes.
        """
        names = tuple(getattr(argument, "name", argument) for argument in first)
        key = (self.make.__name__, names, sorted(options.items()), gpu.capability, bounds)

        def build() -> str:
            made = self.make(*first, **options)
            types = tuple(signature(made).values())
            return compile_ptx(made, types, divmod(gpu.capability, 10), bounds)

        return cached(self.make.__module__, key, build)

    def function(
        self, device: int, bounds: tuple[int, int], *first: Any, **options: Any
    ) -> Function:
        """The kernel loaded on a device, once for equal options."""
        return _loaded(self, device, bounds, first, tuple(sorted(options.items())))

    def launch(
        self, device: int, plan: LaunchPlan, problem: KernelProblem, dtype: str
    ) -> DriverLaunch:
        """The launch of a plan, for a result of ``dtype``; to be called with
        `OF_WEIGHTS` together and `CHANGING`."""
        gpu = gpu_of(device)
        options = self.options_of(plan, problem, gpu)
        bounds = (32 * plan.warps, plan.resident)
        return DriverLaunch(
            self.function(device, bounds, problem.form, dtype, **options),
            (plan.splits, plan.blocks),
            32 * plan.warps,
            arguments=problem.sizes | self.arguments_of(plan, problem),
            changing=CHANGING,
            together=OF_WEIGHTS,
            shared_bytes=plan.shared_bytes,
            cluster=plan.splits,
            early=starts_early(gpu),
        )


def kernel_of(plan: LaunchPlan) -> Kernel:
    """The kernel that a plan asks for."""
    return kernel_named(KERNEL_NAMES[plan.kernel])


def kernel_named(name: str) -> Kernel:
    """The `KERNEL` of the folder of that name."""
    kernel: Kernel = import_module(f"cuda_kernels.{name}.kernel").KERNEL
    return kernel


@cache
def _loaded(
    kernel: Kernel,
    device: int,
    bounds: tuple[int, int],
    first: tuple[Any, ...],
    options: tuple[tuple[str, Any], ...],
) -> Function:
    refuse_to_load_while_capturing()
    gpu = gpu_of(device)
    text = kernel.ptx(gpu, bounds, *first, **dict(options))
    types = signature(kernel.make(*first, **dict(options)))
    with on_device(device):
        return Function(text, types, shared_bytes=gpu.shared_bytes)
