"""Random weights in kernel form and kernel launches on the emulator, as a plan lays them out."""

import numpy as np

from amssim.launch.geometry import TILE_ROWS, Gpu
from cuda_kernels.emulator.run import DeviceMemory, emulate
from cuda_kernels.forms import host as words
from cuda_kernels.gemv.block_scales import scale_units
from cuda_kernels.kernel import KernelProblem, kernel_of
from cuda_kernels.signature import in_order, signature

SMALL_GPU = Gpu(sms=4, shared_bytes=120_000, capability=90)


def in_kernel_order(scales, form, columns, scale_block):
    """float32[rows, blocks] -> float32: a 1 per row, then [row tiles, stored, 8, 2].

    The ones stand where other matrices have the scales of rows; the pairs are rows g and g + 8.
    """
    rows, blocks = scales.shape
    tiles = form.tiles(rows)
    together = scale_units(form, scale_block)
    first = np.arange(0, form.units(columns), together) * form.unit_weights  # column of each
    padded = np.ones((tiles * TILE_ROWS, first.size), np.float32)
    padded[:rows] = scales[:, np.minimum(first // scale_block, blocks - 1)]
    tiled = padded.reshape(tiles, 2, 8, first.size).transpose(0, 3, 2, 1)
    return np.concatenate([np.ones(tiles * TILE_ROWS, np.float32), tiled.ravel()])


def emulated(device, plan, problem, addresses, dtype="float32", **changed):
    """Run the kernel of a plan on the emulator, with some of its options changed."""
    kernel = kernel_of(plan)
    options = kernel.options_of(plan, problem, SMALL_GPU)
    made = kernel.make(problem.form, dtype, **options | changed)
    types = signature(made)
    arguments = addresses | problem.sizes | kernel.arguments_of(plan, problem)
    values = zip(types.values(), in_order(types, arguments), strict=True)
    grid, threads = (plan.splits, plan.blocks), 32 * plan.warps
    emulate(
        made, device, grid, threads, [np.dtype(t).type(v) for t, v in values], plan.shared_bytes
    )


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

    @property
    def problem(self):
        """What a plan is made for."""
        return KernelProblem(self.form, *self.shape, self.batch)

    def emulate(self, plan, dtype="float32", numpy_type=np.float32, **changed):
        """Run the kernel that ``plan`` names on the CPU and return its result.

        The product needs no workspace: rows of x are padded to whole 16 bytes here.
        """
        rows, columns = self.shape
        device = DeviceMemory()
        packed, tails = (device.put(a) for a in words.pack_form(self.codes, self.form))
        x = np.zeros((self.batch, -(-columns // 8) * 8), np.float16)
        x[:, :columns] = self.x
        out = device.put(np.full((self.batch, rows), np.nan, numpy_type))
        addresses = {
            "weights": packed,
            "tails": tails,
            "scales": device.put(self.scales),
            "bias": 0 if self.bias is None else device.put(self.bias),
            "x": device.put(x),
            "x_scales": 0,
            "out": out,
        }
        emulated(device, plan, self.problem, addresses, dtype, **changed)
        return device.get(out, (self.batch, rows), numpy_type)

    def error(self, plan, **options):
        """Relative error of the emulated result."""
        found = self.emulate(plan, **options).astype(np.float64)
        return np.linalg.norm(found - self.expected) / np.linalg.norm(self.expected)
