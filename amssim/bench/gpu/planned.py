"""Products by any launch plan, whichever we would choose: the kernels of plans, and their times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from amssim.bench.gpu.accuracy import FLOAT16_ERROR, checked_error, exact_product
from amssim.bench.gpu.clock import EventClock
from amssim.bench.gpu.graphs import GPU_COLD_BYTES, torch_or_error
from amssim.bench.gpu.replay import Replay, new_stream
from amssim.bench.operands import random_packed
from amssim.bench.timing import Timer, copies_for_cold
from amssim.errors import AmsError, UnsupportedError
from amssim.launch.alternatives import plan_name
from amssim.launch.geometry import GEMM_BATCH, Gpu, LaunchPlan
from amssim.scheme import scheme

DTYPE = "float16"
MOST_COPIES = 256  # of a small layer: 2 MB ones then still never fit an H200's L2 of 60 MB
_FEWEST_PRODUCTS = 16  # launches in a graph
_QUICK, _ROUNDS, _BEST = 3, 5, 6  # replays of every plan, and more of the best ones in turns
_WARM_S = 0.02  # before: an idle GPU's clock is low


class Product(NamedTuple):
    """x[batch, columns] W^T for weights of a scheme."""

    scheme: str
    rows: int
    columns: int
    batch: int


def gpu_here() -> Gpu:
    """Return what plans need to know of this GPU."""
    from cuda_kernels import driver

    return driver.gpu_of(driver.current_device())


def kernel_key(gpu: Gpu, product: Product, plan: LaunchPlan) -> tuple[Any, ...]:
    """Return what a kernel is compiled for; needs no GPU."""
    from cuda_kernels.kernel import kernel_of

    problem = _problem(product)
    options: dict[str, Any] = kernel_of(plan).options_of(plan, problem, gpu)
    bounds = (plan.warps, plan.resident)
    return plan.kernel, problem.form.name, *bounds, *sorted(options.items())


def load_kernel(product: Product, plan: LaunchPlan) -> str:
    """Compile and load a kernel, so that another process finds it on disk; return any failure."""
    from cuda_kernels import driver
    from cuda_kernels.kernel import kernel_of

    try:
        device = driver.current_device()
        kernel_of(plan).launch(device, plan, _problem(product), DTYPE)
    except Exception as error:  # of compilers and drivers: one kernel must not stop the others
        return f"{type(error).__name__}: {error}"
    return ""


def _problem(product: Product) -> Any:
    from cuda_kernels.forms import form_of
    from cuda_kernels.kernel import KernelProblem

    spec, rows, columns, batch = product
    form = form_of(scheme(spec))
    if form is None:
        raise UnsupportedError(f"{spec} has no kernel form to be timed in")
    return KernelProblem(form, rows, columns, batch)


def least_seconds(replays: Mapping[str, Replay]) -> dict[str, float]:
    """Return the least seconds of each replay.

    Every one is replayed some times on a warm GPU; the best few then take turns, so that a change
    of the GPU's clock meets them all.
    """
    seconds: dict[str, float] = {}
    for replay in list(replays.values())[:1]:
        Timer(repeats=1, budget_s=0, warm_s=_WARM_S).least_s(replay.once_s)
    for name, replay in replays.items():
        replay.once_s()
        seconds[name] = min(replay.once_s() for _ in range(_QUICK))
    for _ in range(_ROUNDS):
        for name in sorted(seconds, key=lambda n: seconds[n])[:_BEST]:
            seconds[name] = min(seconds[name], replays[name].once_s())
    return seconds


class PlannedLayer:
    """Random packed weights in as many copies as cold timing needs, multiplied by given plans.

    Args:
        spec: the number format.
        rows, columns: of the weights.
    """

    def __init__(self, spec: str, rows: int, columns: int):
        from cuda_kernels.matrix import Matrix

        torch = torch_or_error()
        packed = random_packed(scheme(spec), rows, columns)
        matrix = Matrix(packed.scheme, packed.shape, packed.words, packed.scales)
        self._layout = matrix.layout
        if self._layout.form is None:
            raise UnsupportedError(f"{spec} has no kernel form to be timed in")
        self.nbytes = matrix.word_bytes
        copies = copies_for_cold(self.nbytes, cold_bytes=GPU_COLD_BYTES, most=MOST_COPIES)
        weights = matrix.weights
        self._copies = [weights, *(weights.elsewhere() for _ in range(copies - 1))]
        self._addresses = [copy.addresses for copy in self._copies]
        half = {"device": "cuda", "dtype": torch.float16}
        self._x = torch.randn(GEMM_BATCH, columns, **half)
        self._out = torch.empty(GEMM_BATCH, rows, **half)
        dense = matrix.dequantize("float32", library="torch")
        self._expected = exact_product(self._x, dense)
        torch.cuda.synchronize()
        self._stream = new_stream()
        self._clock = EventClock(self._stream)

    def times_s(
        self, batch: int, plans: Iterable[LaunchPlan]
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Return the least seconds of each plan by its name, and why others gave none."""
        replays: dict[str, Replay] = {}
        failures: dict[str, str] = {}
        for plan in plans:
            try:
                replays[plan_name(plan)] = self._replay(batch, plan)
            except AmsError as error:
                failures[plan_name(plan)] = str(error)
        seconds = least_seconds(replays)
        for replay in replays.values():
            replay.close()
        return seconds, failures

    def _replay(self, batch: int, plan: LaunchPlan) -> Replay:
        """A graph of products with every copy of the weights, the first of them checked."""
        from cuda_kernels.kernel import kernel_of

        kernel, x, target = kernel_of(plan), self._x.data_ptr(), self._out.data_ptr()
        device, problem = self._layout.device, self._layout.problem(batch)
        launch, addresses = kernel.launch(device, plan, problem, DTYPE), self._addresses
        self._out.fill_(float("nan"))
        torch_or_error().cuda.synchronize()
        launch(int(self._stream), addresses[0], x, 0, target)
        torch_or_error().cuda.synchronize()
        out, expected = self._out[:batch], self._expected[:batch]
        checked_error(out, expected, accepted=FLOAT16_ERROR, what=plan_name(plan))
        count = len(addresses)
        return Replay(
            lambda i, stream: launch(stream, addresses[i % count], x, 0, target),
            max(count, _FEWEST_PRODUCTS),
            self._stream,
            self._clock,
        )
