"""A kernel's signature, its arguments by name, and what its plan makes of it."""

import inspect

import pytest
from fake_gpu import FakeGpu
from hypothesis import given
from hypothesis import strategies as st

from amssim.errors import InputError, ResourceError
from amssim.launch.choose import plan_launch
from amssim.launch.geometry import KERNEL_NAMES, Gpu
from cuda_kernels import driver
from cuda_kernels.driver import DriverLaunch, Function
from cuda_kernels.forms import FORMS, FP4_25
from cuda_kernels.kernel import CHANGING, Kernel, KernelProblem, kernel_named, kernel_of
from cuda_kernels.signature import address, count, in_order, signature, wide_count

H200 = Gpu(132, 232_448, 90)
A100 = Gpu(108, 166_912, 80)
PLANNED = KERNEL_NAMES[1:]
shapes = st.tuples(st.integers(1, 60_000), st.integers(1, 60_000), st.integers(1, 64))


def made(plan, problem, gpu):
    kernel = kernel_of(plan)
    return kernel.make(problem.form, "float16", **kernel.options_of(plan, problem, gpu))


@given(st.sampled_from(FORMS), shapes, st.sampled_from([H200, A100]))
def test_every_plan_gives_all_arguments_of_its_kernel(form, shape, gpu):
    """And no others, each in its range."""
    problem = KernelProblem(form, *shape)
    plan = plan_launch(gpu, form.group, *shape)
    types = signature(made(plan, problem, gpu))
    addresses = dict.fromkeys(("weights", "tails", "scales", "bias"), 4096)
    arguments = addresses | problem.sizes | kernel_of(plan).arguments_of(plan, problem)
    values = in_order(types, arguments, unset=CHANGING)
    for kind, value in zip(types.values(), values, strict=True):
        assert 0 <= value < 2 ** (32 if kind == "uint32" else 64)


@pytest.mark.parametrize("name", PLANNED)
def test_each_planned_kernel_is_found_by_its_name(name):
    kernel = kernel_named(name)
    assert isinstance(kernel, Kernel)
    makes = inspect.signature(kernel.make).parameters
    assert list(makes)[:2] == ["form", "dtype"]


def test_plans_reach_every_kernel():
    """A kernel that no plan asks for would not be tested above."""
    asked = {plan_launch(H200, 4, *shape).kernel for shape in
             ((4096, 4096, 1), (8192, 8192, 16), (64, 512, 20), (8192, 8192, 64))}  # fmt: skip
    assert {KERNEL_NAMES[number] for number in asked} == set(PLANNED)


# --- the signature --------------------------------------------------------------------------------


def copy(source: address, out: address, rows: count, factor: wide_count):
    """A kernel for these tests."""


def test_a_signature_is_read_from_annotations():
    assert signature(copy) == {
        "source": "uint64", "out": "uint64", "rows": "uint32", "factor": "uint64"
    }  # fmt: skip


def test_a_parameter_without_its_kind_is_refused():
    def careless(out: address, rows): ...

    def mistyped(out: address, rows: int): ...

    with pytest.raises(InputError, match="parameter rows of the kernel careless must be annotated"):
        signature(careless)
    with pytest.raises(InputError, match=r"parameter rows of the kernel mistyped .* int"):
        signature(mistyped)


@given(st.permutations(list(signature(copy))))
def test_arguments_may_come_in_any_order(names):
    values = {"source": 1, "out": 2, "rows": 3, "factor": 4}
    assert in_order(signature(copy), {name: values[name] for name in names}) == [1, 2, 3, 4]


def test_a_missing_argument_and_an_unknown_one_are_named():
    with pytest.raises(InputError, match="lacks its arguments factor, rows"):
        in_order(signature(copy), {"source": 1, "out": 2})
    with pytest.raises(InputError, match="has no arguments columns"):
        in_order(signature(copy), {"rows": 3, "columns": 1}, unset=("source", "out", "factor"))
    assert in_order(signature(copy), {"rows": 3, "factor": 4}, unset=("source", "out"))[2:] == [
        3,
        4,
    ]


# --- the launch -----------------------------------------------------------------------------------


@pytest.fixture
def function(noting_gpu):
    text = noting_gpu._ptx(Kernel(lambda: copy), noting_gpu.gpu, (32, 1))
    return Function(text, signature(copy))


@given(st.permutations(["source", "out", "rows"]), st.integers(1, 3))
def test_what_changes_may_stand_anywhere_in_the_signature(names, several):
    gpu = FakeGpu()
    with pytest.MonkeyPatch.context() as patch:
        gpu.install(patch)
        text = gpu._ptx(Kernel(lambda: copy), gpu.gpu, (32, 1))
        values = {"source": 2**40, "out": 2**41, "rows": 2**32 - 1, "factor": 2**32}
        changing = tuple(names[:several])
        fixed = {name: value for name, value in values.items() if name not in changing}
        launch = DriverLaunch(Function(text, signature(copy)), (1, 1), 32, arguments=fixed,
                        changing=changing)  # fmt: skip
        launch(9, (), *(values[name] for name in changing))
        launch(8, (), *(0 for _ in changing))
    first, second = gpu.launches
    assert first.arguments == values
    assert second.arguments == values | dict.fromkeys(changing, 0)
    assert (first.stream, second.stream) == (9, 8)


def test_a_launch_says_how_it_starts(noting_gpu, function):
    fixed = dict.fromkeys(signature(copy), 1)
    DriverLaunch(function, (4, 7), 96, arguments=fixed, changing=(), cluster=4, early=True)(0, ())
    DriverLaunch(function, (1, 7), 32, arguments=fixed, changing=())(0, ())
    first, second = noting_gpu.launches
    assert (first.grid, first.threads, first.cluster, first.early) == ((4, 7), 96, 4, True)
    assert (second.grid, second.threads, second.cluster, second.early) == ((1, 7), 32, 1, False)


@pytest.mark.parametrize("device", [0, 1])
def test_a_thread_that_has_not_used_a_gpu_uses_that_of_the_kernel(noting_gpu, device):
    noting_gpu.current = 100 + device
    text = noting_gpu._ptx(Kernel(lambda: copy), noting_gpu.gpu, (32, 1))
    fixed = dict.fromkeys(("source", "out", "factor"), 1)
    function = Function(text, signature(copy))
    launch = DriverLaunch(function, (1, 1), 32, arguments=fixed, changing=("rows",))
    noting_gpu.current = None  # a new thread
    launch(0, (), 7)
    assert noting_gpu.current is None, "and leaves the thread as it was"
    assert [launched.device for launched in noting_gpu.launches] == [device]
    assert [launched.arguments["rows"] for launched in noting_gpu.launches] == [7]


def test_a_gpu_is_made_current_where_none_is(noting_gpu):
    noting_gpu.current = None
    assert driver.current_device() == 0
    assert noting_gpu.current == 100


def test_a_launch_that_fails_is_a_sentence(noting_gpu, function, monkeypatch):
    monkeypatch.setattr(noting_gpu, "cuLaunchKernelEx", lambda *arguments: 719)

    def name_of(code, text):
        text._obj.value = b"unspecified launch failure"

    monkeypatch.setattr(noting_gpu, "cuGetErrorString", name_of, raising=False)
    launch = DriverLaunch(
        function, (1, 1), 32, arguments=dict.fromkeys(signature(copy), 1), changing=()
    )
    message = r"CUDA could not launch a kernel: unspecified launch failure \(error 719\)"
    with pytest.raises(ResourceError, match=message):
        launch(0, ())


def test_a_kernel_is_loaded_once_for_equal_options(noting_gpu):
    gemm = kernel_named("gemm")
    options = {"x_tiles": 1, "warps": 4, "early": True, "split": False}
    first = gemm.function(0, (128, 1), FP4_25, "float16", **options)
    again = gemm.function(0, (128, 1), FP4_25, "float16", **dict(reversed(options.items())))
    other = gemm.function(0, (128, 1), FP4_25, "float32", **options)
    elsewhere = gemm.function(1, (128, 1), FP4_25, "float16", **options)
    assert first is again
    assert len({id(f) for f in (first, other, elsewhere)}) == 3


def test_the_gpu_is_read_from_the_driver(noting_gpu):
    assert driver.gpu_of(0) == noting_gpu.gpu
    assert driver.current_device() == 0
