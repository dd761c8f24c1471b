"""Random weights in kernel form and kernel launches on the emulator, as a plan lays them out."""

import numpy as np

from cuda_kernels.emulator.run import Device, run
from cuda_kernels.forms import host as words
from cuda_kernels.gemm.kernel import make_gemm
from cuda_kernels.gemv.kernel import make_gemv
from cuda_kernels.launches import GemmLaunch, GemvLaunch, Gpu, StreamLaunch
from cuda_kernels.stream.kernel import make_stream
from cuda_kernels.warpgroup.kernel import make_warpgroup_gemm

SMALL_GPU = Gpu(multiprocessors=4, shared_bytes=120_000, capability=(9, 0))


def random_codes(form, rows, columns, rng):
    """Codes whose groups share their last bit."""
    top = rng.integers(0, 2 ** (form.element.bits - 1), (rows, columns))
    groups = rng.integers(0, 2, (rows, -(-columns // form.group)))
    return (2 * top + np.repeat(groups, form.group, axis=1)[:, :columns]).astype(np.uint8)


class Case:
    """A matrix, activations and what their product is in float64."""

    def __init__(self, form, rows, columns, batch, *, seed=0, bias=True):
        rng = np.random.default_rng(seed)
        self.form, self.shape, self.batch = form, (rows, columns), batch
        self.codes = random_codes(form, rows, columns, rng)
        self.scales = np.exp2(rng.uniform(-3, 3, rows)).astype(np.float32)
        self.bias = rng.standard_normal(rows).astype(np.float32) if bias else None
        self.x = rng.standard_normal((batch, columns)).astype(np.float16)
        weights = form.element.decode(self.codes).astype(np.float64) * self.scales[:, None]
        self.expected = self.x.astype(np.float64) @ weights.T + (self.bias if bias else 0)

    def emulate(self, plan, dtype="float32", numpy_type=np.float32, early=True):
        """Run the kernel that ``plan`` names on the CPU and return its result."""
        rows, columns = self.shape
        device = Device()
        packed = [device.put(a) for a in words.pack(self.codes, self.form)]
        bias = 0 if self.bias is None else device.put(self.bias)
        out = device.put(np.full((self.batch, rows), np.nan, numpy_type))
        pointers = [*packed, device.put(self.scales), bias, device.put(self.x), 0, out]
        sizes = [rows, columns, self.batch, self.form.units(columns), self.form.tiles(rows)]
        split = plan.grid[0] > 1
        if isinstance(plan, GemvLaunch):
            kernel = make_gemv(self.form, dtype, early=early, **plan.options)
            pointers += plan.reciprocals
            sizes += plan.sizes
            threads = plan.threads
        elif isinstance(plan, StreamLaunch):
            kernel = make_stream(self.form, dtype, **plan.options)
            sizes += [plan.full, plan.slice_units]
            threads = 32 * plan.warps
        elif isinstance(plan, GemmLaunch):
            options = {"columns": plan.columns, "warps": plan.warps, "early": early}
            kernel = make_gemm(self.form, dtype, split=split, **options)
            sizes.append(plan.slice_units)
            threads = 32 * plan.warps
        else:
            options = {"columns": plan.columns, "warps": plan.warps, "groups": plan.groups}
            kernel = make_warpgroup_gemm(self.form, dtype, split=split, **options)
            sizes += [plan.slice_units, plan.block_tiles]
            threads = 32 * plan.warps
        arguments = [np.uint64(p) for p in pointers] + [np.uint32(s) for s in sizes]
        run(kernel, device, plan.grid, threads, arguments, plan.shared_bytes)
        return device.get(out, (self.batch, rows), numpy_type)

    def error(self, plan, **options):
        """Relative error of the emulated result."""
        found = self.emulate(plan, **options).astype(np.float64)
        return np.linalg.norm(found - self.expected) / np.linalg.norm(self.expected)
