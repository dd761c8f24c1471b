"""Weights on a GPU and what can be done with them."""

from typing import NamedTuple

import numpy as np

from amssim.errors import InputError
from amssim.launch.geometry import GEMM_BATCH
from amssim.scheme import Scheme
from cuda_kernels import driver, kernels
from cuda_kernels.arrays import Adopted, address, adopt, empty, stream_of
from cuda_kernels.dense.kernel import blocks_of, run_bytes
from cuda_kernels.driver import Launch
from cuda_kernels.forms import repack
from cuda_kernels.forms.form import form_of
from cuda_kernels.forms.unpack import unpack
from cuda_kernels.gemv import block_scales
from cuda_kernels.launches import GemmLaunch, GemvLaunch, StreamLaunch
from cuda_kernels.launches import launch as launch_for
from cuda_kernels.normalize.kernel import THREADS
from cuda_kernels.plain.product import Plain

DTYPES = ("float16", "bfloat16", "float32")
#: from this batch on, dense weights and the library's own product are faster (H200, cuBLAS)
DENSE_BATCH = 257
NONE = 0


class Product(NamedTuple):
    """A launch that multiplies ``batch`` rows of x; ``fits`` if it reads them as they are."""

    launch: Launch
    fits: bool
    x_dtype: str
    batch: int


class Matrix:
    """Packed weights on the current GPU, in the kernel form that holds them.

    Args:
        scheme, shape, words, scales, scale_block: as of a `PackedTensor`.
        bias: float32[rows] or None.
    """

    def __init__(self, scheme: Scheme, shape, words, scales, scale_block, bias):
        from numba import cuda

        self.device = driver.current_device()
        self.scheme, self.shape, self.scale_block = scheme, shape, scale_block
        self.form, self._step, self._together = form_of(scheme), GEMM_BATCH, 0
        self._scales = cuda.to_device(np.ascontiguousarray(scales))
        self._kernel_scales = self._scales
        if scale_block is not None:
            self._use_block_scales(scales)
        self._bias = None if bias is None else cuda.to_device(bias)
        canonical = cuda.to_device(np.ascontiguousarray(words))
        self._words = self._tails = self._plain = None
        if self.form is None or shape[1] % 8 or scale_block is not None:
            bias_at = NONE if bias is None else address(self._bias)
            where = (canonical, self._scales, scale_block, bias_at)
            self._plain = Plain(self.device, scheme, shape, *where)
        if self.form is not None:
            self._words, self._tails = repack.pack(canonical, scheme, self.form, shape)
        self._launches: dict = {}
        self._workspace: dict = {}
        self._known: dict = {}

    def _use_block_scales(self, scales: np.ndarray) -> None:
        """Bring scales to the kernel's order, or drop the form where it does not serve them."""
        from numba import cuda

        form, (rows, columns) = self.form, self.shape
        self._together = block_scales.scale_units(form, self.scale_block)
        if self._together:
            self._step = block_scales.widest(form, rows, columns, driver.gpu(self.device))
        if not (self._together and self._step):
            self.form = None
            return
        arranged = block_scales.arrange(scales, form, columns, self.scale_block)
        self._kernel_scales = cuda.to_device(arranged)

    @property
    def nbytes(self) -> int:
        """Bytes on the GPU of weights and scales."""
        canonical = self._plain and self._plain.words
        arrays = [canonical, self._words, self._tails, self._scales, self._bias]
        if self._together:
            arrays.append(self._kernel_scales)
        return sum(a.nbytes for a in arrays if a is not None)

    def to_host(self) -> tuple[np.ndarray, np.ndarray]:
        """(words, scales) of the canonical layout on the CPU; padding comes back as zeros."""
        if self._plain is None:
            canonical = unpack(self._words, self._tails, self.scheme, self.form, self.shape)
        else:
            canonical = self._plain.words
        return canonical.copy_to_host(), self._scales.copy_to_host()

    # --- the product ----------------------------------------------------------------------------

    def gemv(self, x, out=None, stream=None, dtype: str | None = None):
        """x[columns] or x[batch, columns] -> out[rows] or out[batch, rows]; see `amssim.gpu`."""
        if out is not None and self._again(x, out, stream):
            return out
        found = adopt("x", x)
        batch = self._check_x(found)
        if out is None:
            shape = (self.shape[0],) if len(found.shape) == 1 else (batch, self.shape[0])
            out = empty(found.library, shape, dtype or found.dtype)
        target = adopt("out", out)
        self._check_out(target, found, batch)
        handle = stream_of(found.library, stream, self.device)
        if batch == 0:
            return out
        if self.form is None:
            self._plain.gemv(found, target, batch, handle)
        elif batch >= DENSE_BATCH and found.library in ("torch", "cupy"):
            self._dense(x, out, found)
        else:
            self._tensor_cores(found, target, batch, handle)
            if batch <= self._step and found.library == target.library == "torch":
                product = self._product(found.dtype, target.dtype, batch)
                self._known[x.dtype, x.shape, out.dtype, out.shape] = product
        return out

    def _again(self, x, out, stream) -> bool:
        """Launch what these types and shapes of PyTorch tensors have launched before, if they have.

        Half of the host's time for a product went into looking at its arguments.
        """
        try:
            product = self._known[x.dtype, x.shape, out.dtype, out.shape]
            here = x.get_device() == self.device == out.get_device()
        except (KeyError, AttributeError, TypeError):
            return False
        if not (here and x.is_contiguous() and out.is_contiguous()):
            return False
        handle = stream_of("torch", stream, self.device)
        self._multiply(product, handle, x.data_ptr(), out.data_ptr())
        return True

    def _check_x(self, x: Adopted) -> int:
        rows, columns = self.shape
        if x.device not in (None, self.device):
            raise InputError(f"x is on GPU {x.device}, the weights are on GPU {self.device}")
        if x.dtype not in ("float16", "bfloat16"):
            raise InputError(f"x must be float16 or bfloat16, found {x.dtype}")
        if len(x.shape) not in (1, 2) or x.shape[-1] != columns:
            raise InputError(
                f"x must be [{columns}] or [batch, {columns}] for weights of {rows}x{columns}, "
                f"found {list(x.shape)}"
            )
        batch = 1 if len(x.shape) == 1 else x.shape[0]
        if batch * max(rows, columns) >= 2**31:
            raise InputError(f"a batch of {batch} needs 2^31 elements or more: split it")
        return batch

    def _check_out(self, out: Adopted, x: Adopted, batch: int) -> None:
        if out.device not in (None, self.device):
            raise InputError(f"out is on GPU {out.device}, the weights are on GPU {self.device}")
        shape = (self.shape[0],) if len(x.shape) == 1 else (batch, self.shape[0])
        if out.shape != shape or out.dtype not in DTYPES:
            raise InputError(
                f"out must be {list(shape)} of float16, bfloat16 or float32, "
                f"found {list(out.shape)} of {out.dtype}"
            )

    def _tensor_cores(self, x: Adopted, out: Adopted, batch: int, stream: int) -> None:
        rows, columns = self.shape
        size = 4 if out.dtype == "float32" else 2
        for first in range(0, batch, self._step):
            product = self._product(x.dtype, out.dtype, min(self._step, batch - first))
            source, target = x.address + 2 * first * columns, out.address + size * first * rows
            self._multiply(product, stream, source, target)

    def _product(self, x_dtype: str, dtype: str, batch: int) -> Product:
        key = (x_dtype, dtype, batch)
        if key not in self._launches:
            columns = self.shape[1]
            launch = self._make_launch(dtype, batch, -(-columns // 8) * 8)
            fits = x_dtype == "float16" and columns % 8 == 0
            self._launches[key] = Product(launch, fits, x_dtype, batch)
        return self._launches[key]

    def _multiply(self, product: Product, stream: int, source: int, target: int) -> None:
        """Launch a product of x at ``source`` to out at ``target``."""
        launch, fits, x_dtype, batch = product
        scales = NONE
        if not fits or source % 16:
            source, scales = self._normalized(source, x_dtype, batch, stream)
        launch(stream, {4: source, 5: scales, 6: target})

    def _make_launch(self, dtype: str, batch: int, length: int) -> Launch:
        rows, columns = self.shape
        gpu, form = driver.gpu(self.device), self.form
        choose = block_scales.launch if self._together else launch_for
        found = choose(form, rows, columns, batch, gpu)
        split, early = found.grid[0] > 1, gpu.hopper
        shared = {"shared_bytes": found.shared_bytes, "cluster": found.grid[0], "early": early}
        bias = NONE if self._bias is None else address(self._bias)
        arrays = (self._words, self._tails, self._kernel_scales)
        pointers = (*(address(a) for a in arrays), bias)
        sizes = (rows, length, batch, form.units(columns), form.tiles(rows))
        if isinstance(found, GemvLaunch):
            bounds, options = (found.threads, found.resident), found.options
            options["scale_units"] = self._together
            function = kernels.gemv(self.device, form, dtype, *bounds, **options)
            launch = Launch(function, found.grid, found.threads, **shared)
            launch.set(*pointers, 0, 0, 0, *found.reciprocals, *sizes, *found.sizes)
        elif isinstance(found, GemmLaunch):
            function = kernels.gemm(self.device, form, dtype, found.columns, found.warps, split)
            launch = Launch(function, found.grid, 32 * found.warps, **shared)
            launch.set(*pointers, 0, 0, 0, *sizes, found.slice_units)
        elif isinstance(found, StreamLaunch):
            function = kernels.stream(self.device, form, dtype, **found.options)
            launch = Launch(function, found.grid, 32 * found.warps, **shared)
            launch.set(*pointers, 0, 0, 0, *sizes, found.full, found.slice_units)
        else:
            options = (found.columns, found.warps, found.groups, split)
            function = kernels.warpgroup(self.device, form, dtype, *options)
            launch = Launch(function, found.grid, 32 * found.warps, **shared)
            launch.set(*pointers, 0, 0, 0, *sizes, found.slice_units, found.block_tiles)
        return launch

    def _normalized(self, source: int, dtype: str, batch: int, stream: int) -> tuple[int, int]:
        """(address, address of scales) of activations that the kernels can read as they are."""
        from numba import cuda

        columns = self.shape[1]
        padded = -(-columns // 8) * 8
        key = (stream, batch, dtype)
        if key not in self._workspace:
            arrays = cuda.device_array((batch, padded), np.float16), cuda.device_array(batch, "f4")
            places = tuple(address(a) for a in arrays)
            function = kernels.normalize(self.device, dtype)
            early = driver.gpu(self.device).hopper
            launch = Launch(function, (1, batch), THREADS, shared_bytes=8 * THREADS, early=early)
            launch.set(0, *places, columns, padded)
            self._workspace[key] = (launch, places, arrays)
        launch, places, _ = self._workspace[key]
        launch(stream, {0: source})
        return places

    # --- dense weights and the ways for what no form holds -------------------------------------

    def dequantize(self, dtype: str = "float16", out=None, stream=None, library: str = "numba"):
        """The weights, dtype[rows, columns], each rounded to float32 and then to ``dtype``."""
        if dtype not in DTYPES:
            raise InputError(f"dtype must be one of {', '.join(DTYPES)}, found {dtype!r}")
        rows, columns = self.shape
        if out is None:
            out = empty(library, (rows, columns), dtype)
        target = adopt("out", out)
        if target.shape != (rows, columns) or target.dtype != dtype:
            raise InputError(f"out must be {dtype}[{rows}, {columns}]")
        handle = stream_of(target.library, stream, self.device)
        if self._plain is None and target.address % 16:
            raise InputError("out must begin at a multiple of 16 bytes: pass a whole tensor")
        if self._plain is None:
            self._dequantize_form(target, handle)
        else:
            self._plain.dequantize(target, handle)
        return out

    def _dequantize_form(self, out: Adopted, stream: int) -> None:
        key = ("dense", out.dtype)
        if key not in self._launches:
            function = kernels.dequantize(self.device, self.form, out.dtype)
            warps = kernels.DEQUANTIZE_THREADS // 32
            shared = warps * 16 * run_bytes(self.form, out.dtype)
            rows, columns = self.shape
            blocks = blocks_of(self.form, rows, columns, warps)
            early = driver.gpu(self.device).hopper
            launch = Launch(function, (blocks, 1), 32 * warps, shared_bytes=shared, early=early)
            sizes = (rows, columns, self.form.units(columns), self.form.tiles(rows))
            arrays = (self._words, self._tails, self._scales)
            launch.set(*(address(a) for a in arrays), 0, *sizes)
            self._launches[key] = launch
        self._launches[key](stream, {3: out.address})

    def _dense(self, x, out, found: Adopted) -> None:
        """out = x W^T by the library's own product on dense weights."""
        weights = self.dequantize(found.dtype, library=found.library)
        if found.library == "torch":
            import torch

            product = torch.mm(x, weights.t())
            if self._bias is not None:
                product = product + torch.as_tensor(self._bias, device="cuda")
            out.copy_(product)
        else:
            product = x @ weights.T
            if self._bias is not None:
                import cupy

                product = product + cupy.asarray(self._bias)
            out[...] = product
