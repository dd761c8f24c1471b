"""A GPU without one: a driver whose launches run on the emulator, or are only noted.

What a launch asks of the driver is read as the driver reads it: the configuration and the argument
block, by their addresses. `Matrix` and `amssim.gpu` run on it as they are.
"""

import ctypes
from contextlib import nullcontext
from itertools import count
from typing import NamedTuple

import numpy as np
from gpu_cases import in_kernel_order

from amssim import reference
from amssim.launch.geometry import Gpu
from cuda_kernels import batches, driver, kernel, weights
from cuda_kernels.emulator.lanes import GLOBAL_BASE, GlobalMemory
from cuda_kernels.emulator.run import DeviceMemory, emulate
from cuda_kernels.forms import host, widen_codes
from cuda_kernels.signature import signature

#: With room for small blocks only, so that plans need few warps.
GPU = Gpu(sms=4, shared_bytes=120_000, capability=90)
NO_CONTEXT, CAPTURING = 201, 1  # CUresult, CUstreamCaptureStatus


class Launched(NamedTuple):
    """A launch as the driver saw it."""

    kernel: str
    stream: int
    grid: tuple[int, int]
    threads: int
    cluster: int
    early: bool
    arguments: dict[str, int]
    device: int


class FakeArray:
    """As much of a Numba device array as the package uses, in the emulator's memory."""

    def __init__(self, gpu, array):
        array = np.ascontiguousarray(array)
        self.shape, self.dtype, self.nbytes = array.shape, array.dtype, array.nbytes
        self.address = gpu.device.put(array) if array.size else GLOBAL_BASE
        self.device_ctypes_pointer = ctypes.c_void_p(self.address)
        self._gpu = gpu

    def is_c_contiguous(self):
        return True

    def copy_to_host(self):
        return self._gpu.device.get(self.address, self.shape, self.dtype)

    def copy_to_device(self, source):
        start, other = self.address - GLOBAL_BASE, source.address - GLOBAL_BASE
        octets = self._gpu.device.memory.bytes
        octets[start : start + self.nbytes] = octets[other : other + self.nbytes]


class Tensor:
    """As much of a torch.Tensor as a launch looks at."""

    is_cuda, device = True, "cuda:0"
    new_empty = None  # of the GPU that was installed last

    def __init__(self, shape, address, dtype="torch.float16", gpu=0, contiguous=True):
        self.shape, self.dtype = shape, dtype
        self.data_ptr, self.get_device = lambda: address, lambda: gpu
        self.is_contiguous = lambda: contiguous


class FakeGpu:
    """Stands for the driver's library.

    Args:
        gpu: its properties.
        emulate: run what is launched; else only note it.

    Attributes:
        launches: what was launched, in order.
        current: this thread's context, None in one that has not used a GPU yet.
        capturing: streams that are being captured.
        count: GPUs of the machine.
        loaded: kernels that were loaded, by device and name.
        device: the emulator's memory.
    """

    def __init__(self, gpu: Gpu = GPU, *, emulate: bool = False, nbytes: int = 1 << 22):
        self.gpu, self.device, self.launches = gpu, DeviceMemory(nbytes), []
        self.current: int | None = 100
        self.capturing, self.loaded, self.count = set(), [], 1
        self._emulate, self._nbytes = emulate, nbytes
        self._made, self._kernels, self._handles = {}, {}, count(1)

    def install(self, monkeypatch) -> None:
        """Take the place of the driver and of Numba's arrays."""
        from numba import cuda

        for cached in (driver.gpu_of, kernel._loaded):
            cached.cache_clear()
        monkeypatch.setattr(driver, "library", lambda: self)
        monkeypatch.setattr(driver, "quick_library", lambda: self)
        monkeypatch.setattr(
            kernel.Kernel, "ptx", lambda *given, **options: self._ptx(*given, **options)
        )
        monkeypatch.setattr(weights, "to_kernel_order", self._repack)
        monkeypatch.setattr(batches, "empty", self._workspace)
        monkeypatch.setattr(batches, "current", lambda *where: nullcontext())
        monkeypatch.setattr(Tensor, "new_empty", lambda _, count: self._workspace("", 2 * count))
        monkeypatch.setattr(cuda, "to_device", self.put)
        monkeypatch.setattr(cuda, "device_array", self.empty)

    def put(self, array) -> FakeArray:
        return FakeArray(self, array)

    def empty(self, shape, dtype=np.float32, **_) -> FakeArray:
        size = shape if isinstance(shape, tuple) else (shape,)
        kind = np.dtype(dtype)
        return FakeArray(
            self,
            np.full(int(np.prod(size)) * kind.itemsize, 0xFF, np.uint8).view(kind).reshape(size),
        )

    def tensor(self, array, dtype=None, offset=0) -> Tensor:
        """A PyTorch tensor with these values, ``offset`` bytes past a multiple of 256."""
        array = np.ascontiguousarray(array)
        room = self.put(np.concatenate([np.zeros(offset, np.uint8), array.view(np.uint8).ravel()]))
        return Tensor(array.shape, room.address + offset, f"torch.{dtype or array.dtype.name}")

    def values(self, tensor, dtype=np.float16) -> np.ndarray:
        return self.device.get(tensor.data_ptr(), tensor.shape, dtype)

    def _workspace(self, library, nbytes, *_):
        return self.tensor(np.zeros(nbytes, np.uint8))

    def _repack(self, layout, canonical, scales, *, words, tails, ordered_scales, stream):
        """What the kernels do, on the CPU: they are tested for themselves."""
        codes = reference.unpack(canonical.copy_to_host(), layout.scheme, layout.columns)
        form = layout.form
        packed, apart = host.pack_form(widen_codes(codes, layout.scheme, form), form)
        words.copy_to_device(self.put(packed))
        if form.has_tails:
            tails.copy_to_device(self.put(apart))
        if layout.scale_units:
            given = (scales.copy_to_host(), form, layout.columns, layout.scale_block)
            padded = np.ones(layout.scales.shape, np.float32).ravel()
            ordered = in_kernel_order(*given)
            padded[: ordered.size] = ordered
            ordered_scales.copy_to_device(self.put(padded))

    def _ptx(self, which, gpu, bounds, *first, **options) -> str:
        made = which.make(*first, **options)
        number = next(self._handles)
        self._made[number] = made
        return f".visible .entry {made.__name__}(\n) // {number}"

    # --- the driver's calls -----------------------------------------------------------------------

    def cuCtxGetCurrent(self, context) -> int:
        context._obj.value = self.current
        return 0

    def cuDevicePrimaryCtxRetain(self, context, device) -> int:
        context._obj.value = 100 + device
        return 0

    def cuCtxSetCurrent(self, context) -> int:
        self.current = context.value
        return 0

    def cuCtxGetDevice(self, device) -> int:
        if self.current is None:
            return NO_CONTEXT
        device._obj.value = self.current - 100
        return 0

    def cuStreamIsCapturing(self, stream, status) -> int:
        status._obj.value = CAPTURING * ((stream.value or 0) in self.capturing)
        return 0

    def cuDeviceGetCount(self, count) -> int:
        count._obj.value = self.count
        return 0

    def cuStreamSynchronize(self, stream) -> int:
        return 0

    def cuDeviceGetAttribute(self, value, number, device) -> int:
        major, minor = divmod(self.gpu.capability, 10)
        value._obj.value = {
            driver.MULTIPROCESSORS: self.gpu.sms,
            driver.SHARED: self.gpu.shared_bytes,
            driver.MAJOR: major,
            driver.MINOR: minor,
        }[number]
        return 0

    def cuModuleLoadData(self, module, image) -> int:
        module._obj.value = number = int(image.value.decode().rpartition("// ")[2])
        self.loaded.append((self.current - 100, self._made[number].__name__))
        return 0

    def cuModuleGetFunction(self, function, module, name) -> int:
        function._obj.value = module.value
        return 0

    def cuFuncSetAttribute(self, function, attribute, value) -> int:
        return 0

    def cuLaunchKernelEx(self, config, function, parameters, extra) -> int:
        if self.current is None:
            return NO_CONTEXT
        config, made = config._obj, self._made[function.value]
        attributes = {a.id: tuple(a.value) for a in config.attributes[: config.count]}
        places = parameters[: len(signature(made))]
        types = {"uint32": ctypes.c_uint32, "uint64": ctypes.c_uint64}
        values = [
            types[kind].from_address(place).value
            for place, kind in zip(places, signature(made).values(), strict=True)
        ]
        self.launches.append(
            Launched(
                kernel=made.__name__,
                stream=config.stream or 0,
                grid=tuple(config.grid[:2]),
                threads=config.block[0],
                cluster=attributes.get(driver.CLUSTER, (1,))[0],
                early=driver.EARLY in attributes,
                arguments=dict(zip(signature(made), values, strict=True)),
                device=self.current - 100,
            )
        )
        if self._emulate:
            self._run(made, values, config)
        return 0

    def _run(self, made, values, config) -> None:
        memory = GlobalMemory(self._nbytes, GLOBAL_BASE)  # where nobody has written yet
        memory.bytes = self.device.memory.bytes
        self.device.memory = memory
        kinds = signature(made).values()
        arguments = [np.dtype(k).type(v) for k, v in zip(kinds, values, strict=True)]
        grid, threads = tuple(config.grid[:2]), config.block[0]
        emulate(made, self.device, grid, threads, arguments, config.shared_bytes)
