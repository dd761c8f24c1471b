"""The few calls of the CUDA driver that a launch needs, by ctypes: 1 microsecond of Python.

numba.cuda's own launcher takes longer and knows neither clusters, nor early launch, nor more
than 48 KiB of shared memory.
"""

import ctypes
import threading
from functools import lru_cache, partial

from amssim.errors import ResourceError
from cuda_kernels.compile import entry_name
from cuda_kernels.launches import Gpu

CLUSTER, EARLY = 4, 6  # CUlaunchAttributeID
MAX_SHARED = 8  # CUfunction_attribute
MULTIPROCESSORS, MAJOR, MINOR, SHARED = 16, 75, 76, 97  # CUdevice_attribute


class _Attribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int), ("pad", ctypes.c_int), ("value", ctypes.c_uint * 16)]


class _Config(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("count", ctypes.c_uint),
    ]


@lru_cache
def library() -> ctypes.CDLL:
    """Load and initialise the driver.

    Raises:
        ResourceError: there is none, or no GPU.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise ResourceError(
            "no CUDA driver (libcuda.so.1) on this machine: install NVIDIA's driver, 580 or newer"
        ) from None
    if code := cuda.cuInit(0):
        raise ResourceError(f"the CUDA driver finds no usable GPU (error {code}): see nvidia-smi")
    return cuda


def check(code: int, what: str) -> None:
    """Raise `ResourceError` if a driver call failed."""
    if code:
        name = ctypes.c_char_p()
        library().cuGetErrorString(code, ctypes.byref(name))
        reason = (name.value or b"unknown error").decode()
        raise ResourceError(f"CUDA could not {what}: {reason} (error {code})")


def current_device() -> int:
    """Ordinal of this thread's device; makes device 0 current if none is."""
    cuda, context, device = library(), ctypes.c_void_p(), ctypes.c_int()
    check(cuda.cuCtxGetCurrent(ctypes.byref(context)), "ask for the current context")
    if not context:
        check(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0), "open GPU 0")
        check(cuda.cuCtxSetCurrent(context), "use GPU 0")
    check(cuda.cuCtxGetDevice(ctypes.byref(device)), "ask for the current GPU")
    return device.value


@lru_cache
def gpu(device: int) -> Gpu:
    """Read the properties of a device."""

    def attribute(number: int) -> int:
        found = ctypes.c_int()
        check(library().cuDeviceGetAttribute(ctypes.byref(found), number, device), "read the GPU")
        return found.value

    capability = (attribute(MAJOR), attribute(MINOR))
    return Gpu(attribute(MULTIPROCESSORS), attribute(SHARED), capability)


class Function:
    """A kernel of PTX text, loaded on the current device."""

    def __init__(self, text: str, signature: tuple, *, shared_bytes: int = 0):
        cuda, self.signature = library(), signature
        self._module, self.handle = ctypes.c_void_p(), ctypes.c_void_p()
        image = ctypes.c_char_p(text.encode())
        check(cuda.cuModuleLoadData(ctypes.byref(self._module), image), "load a kernel")
        name = entry_name(text).encode()
        get = cuda.cuModuleGetFunction(ctypes.byref(self.handle), self._module, name)
        check(get, "find a kernel")
        if shared_bytes > 48 * 1024:
            code = cuda.cuFuncSetAttribute(self.handle, MAX_SHARED, shared_bytes)
            check(code, f"give a kernel {shared_bytes} bytes of shared memory")


class Launch:
    """One launch configuration with its argument block, to be called many times."""

    def __init__(self, function: Function, grid: tuple[int, int], threads: int, *, shared_bytes=0,
                 cluster=1, early=False):  # fmt: skip
        count = len(function.signature)
        self._values = (ctypes.c_uint64 * count)()  # a uint32 is the low half of its slot
        start = ctypes.addressof(self._values)
        self._parameters = (ctypes.c_void_p * count)(*(start + 8 * i for i in range(count)))
        wanted = [(CLUSTER, (cluster, 1, 1))] if cluster > 1 else []
        wanted += [(EARLY, (1,))] if early else []
        self._attributes = (_Attribute * max(1, len(wanted)))()
        for slot, (number, value) in zip(self._attributes, wanted, strict=False):
            slot.id = number
            slot.value[: len(value)] = value
        self._config = _Config(
            (*grid, 1), (threads, 1, 1), shared_bytes, None, self._attributes, len(wanted)
        )
        self._function = function  # keeps the module loaded
        arguments = (ctypes.byref(self._config), function.handle, self._parameters, None)
        #: the driver's launch, with the arguments and the stream that were set last
        self.driver_call = partial(library().cuLaunchKernelEx, *arguments)
        self._lock = threading.Lock()

    def set(self, *values: int) -> None:
        """Set all arguments."""
        self._values[:] = values

    def __call__(self, stream: int, changed: dict[int, int]) -> None:
        """Launch on a stream with some arguments, by number, changed."""
        with self._lock:
            for number, value in changed.items():
                self._values[number] = value
            self._config.stream = stream
            code = self.driver_call()
        if code:
            check(code, "launch a kernel")
