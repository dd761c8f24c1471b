"""The few calls of the CUDA driver that a launch needs, by ctypes: 1 microsecond of Python.

numba.cuda's own launcher takes longer and knows neither clusters, nor early launch, nor more
than 48 KiB of shared memory.
"""

import ctypes
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial

from amssim.errors import ResourceError
from amssim.launch.geometry import Gpu
from cuda_kernels.compile import entry_name
from cuda_kernels.signature import in_order

CLUSTER, EARLY = 4, 6  # CUlaunchAttributeID
MAX_SHARED = 8  # CUfunction_attribute
NO_CONTEXT = 201  # CUresult: invalid device context
#: CUresult: what a stream or a thread may not do while a graph is captured, from 900 to 907
CAPTURE_ERRORS = range(900, 908)
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


@lru_cache
def quick_library() -> ctypes.CDLL:
    """The driver for calls that return at once: Python's lock is kept, which saves 0.15 us."""
    library()
    return ctypes.PyDLL("libcuda.so.1")


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


@lru_cache
def context_of(device: int) -> int:
    """The context of a device that all libraries share."""
    context = ctypes.c_void_p()
    code = library().cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
    check_call(code, f"open GPU {device}")
    return context.value or 0


def use_device(device: int) -> None:
    """Make a device current in this thread."""
    check_call(library().cuCtxSetCurrent(ctypes.c_void_p(context_of(device))), f"use GPU {device}")


@contextmanager
def on_device(device: int) -> Iterator[None]:
    """Have a device current in this thread, and afterwards again what was."""
    cuda, before = library(), ctypes.c_void_p()
    check_call(cuda.cuCtxGetCurrent(ctypes.byref(before)), "ask for the current context")
    use_device(device)
    try:
        yield
    finally:
        check_call(cuda.cuCtxSetCurrent(before), "use the GPU that was in use before")


# --- CUDA graphs: nothing can be loaded while one is captured -------------------------------------


class _Wanted(threading.local):
    """The stream that launches are being made for, None for none yet."""

    stream: int | None = None


_WANTED = _Wanted()


@contextmanager
def made_for(device: int, stream: int | None) -> Iterator[None]:
    """Make launches for a stream of a device, which is current meanwhile.

    A kernel that must be loaded for them is refused where the stream is being captured.
    """
    before, _WANTED.stream = _WANTED.stream, stream
    try:
        with on_device(device):
            yield
    finally:
        _WANTED.stream = before


def is_capturing(stream: int) -> bool:
    """Whether a CUDA graph is being captured from a stream."""
    status = ctypes.c_int()
    code = library().cuStreamIsCapturing(ctypes.c_void_p(stream), ctypes.byref(status))
    return code in CAPTURE_ERRORS or bool(status.value)


def refuse_to_load_while_capturing() -> None:
    """Raise `ResourceError` if the stream that a kernel is needed for is being captured."""
    if _WANTED.stream is not None and is_capturing(_WANTED.stream):
        raise ResourceError(LOADED_TOO_LATE)


#: what a person reads instead of the driver's error 900
LOADED_TOO_LATE = (
    "a product needs a kernel that is not loaded, which cannot be done while a CUDA graph is "
    "captured: call prepare for its shape, batch and dtypes first, or compute it once before"
)


def synchronize(device: int, stream: int) -> None:
    """Wait until all work of a stream is done."""
    with on_device(device):
        check_call(library().cuStreamSynchronize(ctypes.c_void_p(stream)), "wait for a stream")


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


@lru_cache
def gpu_count() -> int:
    """How many GPUs this process sees."""
    count = ctypes.c_int()
    check_call(library().cuDeviceGetCount(ctypes.byref(count)), "count the GPUs")
    return count.value


class Function:
    """A kernel of PTX text, loaded on the current device."""

    def __init__(self, text: str, signature: Mapping[str, str], *, shared_bytes: int = 0):
        cuda, self.signature, self.device = library(), signature, current_device()
        self._module, self.handle = ctypes.c_void_p(), ctypes.c_void_p()
        image = ctypes.c_char_p(text.encode())
        code = cuda.cuModuleLoadData(ctypes.byref(self._module), image)
        if code in CAPTURE_ERRORS:  # another thread captures
            raise ResourceError(LOADED_TOO_LATE)
        check_call(code, "load a kernel")
        name = entry_name(text).encode()
        get = cuda.cuModuleGetFunction(ctypes.byref(self.handle), self._module, name)
        check_call(get, "find a kernel")
        if shared_bytes > 48 * 1024:
            code = cuda.cuFuncSetAttribute(self.handle, MAX_SHARED, shared_bytes)
            check_call(code, f"give a kernel {shared_bytes} bytes of shared memory")


class DriverLaunch:
    """One launch configuration with its argument block, to be called many times, by any thread.

    It is launched with its own device current, whatever is current in the thread. A call changes
    the arguments that ``together`` and ``changing`` name, and no others. The block holds these side
    by side, so that they are set at once: the driver is given the address of each argument in the
    order of the kernel's signature. What belongs ``together``, the arrays of a matrix, comes as one
    tuple, and is left alone when the same one comes again.
    """

    def __init__(
        self,
        function: Function,
        grid: tuple[int, int],
        threads: int,
        *,
        arguments: Mapping[str, int],
        changing: tuple[str, ...],
        together: tuple[str, ...] = (),
        shared_bytes: int = 0,
        cluster: int = 1,
        early: bool = False,
    ):
        first = (*together, *changing)
        values = in_order(function.signature, arguments, unset=first)
        by_name = dict(zip(function.signature, values, strict=True))
        order = [*first, *(name for name in by_name if name not in first)]
        # a uint32 is the low half of its slot
        self._values = (ctypes.c_uint64 * len(order))(*(by_name[name] for name in order))
        self._together = (ctypes.c_uint64 * len(together)).from_buffer(self._values)
        slots = ctypes.c_uint64 * len(changing)
        self._changing = slots.from_buffer(self._values, 8 * len(together))
        self._last: tuple[int, ...] = ()
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
        self._device, self._several = function.device, gpu_count() > 1
        self._context, self._here = context_of(function.device), ctypes.c_void_p()
        self._find_here = partial(quick_library().cuCtxGetCurrent, ctypes.byref(self._here))

    def __call__(self, stream: int, together: tuple[int, ...], *changed: int) -> None:
        """Launch on a stream with the arguments that change, in the order of their names."""
        with self._lock:
            if together is not self._last:
                self._together[:] = together  # type: ignore[call-overload]
                self._last = together
            self._changing[:] = changed  # type: ignore[call-overload] # any sequence will do
            self._config.stream = stream
            if self._several and (self._find_here() or self._here.value != self._context):
                code = self._elsewhere()
            else:
                code = self.driver_call()
                if code == NO_CONTEXT:  # this thread has not used a GPU yet
                    code = self._elsewhere()
        if code:
            check_call(code, "launch a kernel")

    def _elsewhere(self) -> int:
        """Launch where another device is current, or none."""
        with on_device(self._device):
            return int(self.driver_call())
