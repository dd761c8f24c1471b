"""The few calls of the CUDA driver that a launch needs, by ctypes: 1 microsecond of Python.

numba.cuda's own launcher takes longer and knows neither clusters, nor early launch, nor more
than 48 KiB of shared memory.
"""

import ctypes
import threading
from collections.abc import Mapping
from functools import lru_cache, partial

from amssim.errors import ResourceError
from amssim.launch.geometry import Gpu
from cuda_kernels.compile import entry_name
from cuda_kernels.signature import in_order

CLUSTER, EARLY = 4, 6  # CUlaunchAttributeID
MAX_SHARED = 8  # CUfunction_attribute
NO_CONTEXT = 201  # CUresult: invalid device context
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


def check_call(code: int, what: str) -> None:
    """Raise `ResourceError` if a driver call failed."""
    if code:
        name = ctypes.c_char_p()
        library().cuGetErrorString(code, ctypes.byref(name))
        reason = (name.value or b"unknown error").decode()
        raise ResourceError(f"CUDA could not {what}: {reason} (error {code})")


def current_device() -> int:
    """Ordinal of this thread's device; makes device 0 current if none is."""
    cuda, context, device = library(), ctypes.c_void_p(), ctypes.c_int()
    check_call(cuda.cuCtxGetCurrent(ctypes.byref(context)), "ask for the current context")
    if not context:
        use_device(0)
    check_call(cuda.cuCtxGetDevice(ctypes.byref(device)), "ask for the current GPU")
    return device.value


def use_device(device: int) -> None:
    """Make a device current in this thread, by the context that all libraries share."""
    cuda, context = library(), ctypes.c_void_p()
    open_gpu = cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
    check_call(open_gpu, f"open GPU {device}")
    check_call(cuda.cuCtxSetCurrent(context), f"use GPU {device}")


@lru_cache
def gpu_of(device: int) -> Gpu:
    """Read the properties of a device."""

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        check_call(
            library().cuDeviceGetAttribute(ctypes.byref(value), number, device), "read the GPU"
        )
        return value.value

    capability = 10 * attribute(MAJOR) + attribute(MINOR)
    return Gpu(attribute(MULTIPROCESSORS), attribute(SHARED), capability)


class Function:
    """A kernel of PTX text, loaded on the current device."""

    def __init__(self, text: str, signature: Mapping[str, str], *, shared_bytes: int = 0):
        cuda, self.signature, self.device = library(), signature, current_device()
        self._module, self.handle = ctypes.c_void_p(), ctypes.c_void_p()
        image = ctypes.c_char_p(text.encode())
        check_call(cuda.cuModuleLoadData(ctypes.byref(self._module), image), "load a kernel")
        name = entry_name(text).encode()
        get = cuda.cuModuleGetFunction(ctypes.byref(self.handle), self._module, name)
        check_call(get, "find a kernel")
        if shared_bytes > 48 * 1024:
            code = cuda.cuFuncSetAttribute(self.handle, MAX_SHARED, shared_bytes)
            check_call(code, f"give a kernel {shared_bytes} bytes of shared memory")


class DriverLaunch:
    """One launch configuration with its argument block, to be called many times.

    A call changes the arguments that ``changing`` names, and no others. The block holds these side
    by side, so that they are set at once: the driver is given the address of each argument in the
    order of the kernel's signature.
    """

    def __init__(
        self,
        function: Function,
        grid: tuple[int, int],
        threads: int,
        *,
        arguments: Mapping[str, int],
        changing: tuple[str, ...],
        shared_bytes: int = 0,
        cluster: int = 1,
        early: bool = False,
    ):
        values = in_order(function.signature, arguments, unset=changing)
        by_name = dict(zip(function.signature, values, strict=True))
        order = [*changing, *(name for name in by_name if name not in changing)]
        # a uint32 is the low half of its slot
        self._values = (ctypes.c_uint64 * len(order))(*(by_name[name] for name in order))
        self._changing = (ctypes.c_uint64 * len(changing)).from_buffer(self._values)
        start = ctypes.addressof(self._values)
        places = [start + 8 * order.index(name) for name in by_name]
        self._parameters = (ctypes.c_void_p * len(places))(*places)
        wanted: list[tuple[int, tuple[int, ...]]] = (
            [(CLUSTER, (cluster, 1, 1))] if cluster > 1 else []
        )
        wanted += [(EARLY, (1,))] if early else []
        self._attributes = (_Attribute * max(1, len(wanted)))()
        for slot, (number, value) in zip(self._attributes, wanted, strict=False):
            slot.id = number
            slot.value[: len(value)] = value
        self._config = _Config(
            (*grid, 1), (threads, 1, 1), shared_bytes, None, self._attributes, len(wanted)
        )
        self._function = function  # keeps the module loaded
        block = (ctypes.byref(self._config), function.handle, self._parameters, None)
        #: the driver's launch, with the arguments and the stream that were set last
        self.driver_call = partial(library().cuLaunchKernelEx, *block)
        self._lock = threading.Lock()

    def __call__(self, stream: int, *changed: int) -> None:
        """Launch on a stream with the arguments that change, in the order of their names."""
        with self._lock:
            self._changing[:] = changed  # type: ignore[call-overload] # any sequence will do
            self._config.stream = stream
            code = self.driver_call()
            if code == NO_CONTEXT:  # this thread has not used a GPU yet
                use_device(self._function.device)
                code = self.driver_call()
        if code:
            check_call(code, "launch a kernel")
