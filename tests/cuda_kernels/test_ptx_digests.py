"""Digests of PTX: names do not count, everything else does."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "analysis" / "ptx_digests.py"

PTX = """
.version 9.0
.target sm_90
.extern .shared .align 4 .b8 _cudapy_smem_12x[];
.visible .entry _ZN12cuda_kernels4gemv6kernelE1x(
    .param .u64 _ZN12cuda_kernels4gemv6kernelE1x_param_0
)
{
    // a comment
    ld.param.u64 %rd1, [_ZN12cuda_kernels4gemv6kernelE1x_param_0];
    mov.u64 %rd2, _cudapy_smem_12x;
$L__BB0_1:
    add.s64 %rd3, %rd1, 8;
    ret;
}
"""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("ptx_digests", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("_ZN12cuda_kernels4gemv6kernelE1x", "_ZN9elsewhere4gemvE1y"),
        ("_cudapy_smem_12x", "_cudapy_smem_7"),
        ("// a comment", "// another"),
        ("    // a comment\n", ""),
    ],
)
def test_names_and_comments_do_not_count(script, old, new):
    assert script.digest(PTX.replace(old, new)) == script.digest(PTX)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("add.s64 %rd3, %rd1, 8", "add.s64 %rd3, %rd1, 16"),
        (".target sm_90", ".target sm_90a"),
        ("%rd3, %rd1", "%rd3, %rd2"),
        ("    ret;\n", ""),
        ("%rd2, _cudapy_smem_12x", "%rd2, _cudapy_smem_13x"),
        (
            "[_ZN12cuda_kernels4gemv6kernelE1x_param_0]",
            "[_ZN12cuda_kernels4gemv6kernelE1x_param_1]",
        ),
    ],
)
def test_everything_else_counts(script, old, new):
    assert script.digest(PTX.replace(old, new)) != script.digest(PTX)


def test_every_kernel_form_dtype_and_architecture_is_built(script, monkeypatch):
    monkeypatch.setattr(script, "PLANS", 1500)
    monkeypatch.setattr(script, "BLOCK_PLANS", 100)
    several = script.builds()
    lines = [str(build) for build in several]
    assert len(set(lines)) == len(lines)
    kernels = {build.kernel for build in several}
    own = {"dense", "elements", "normalize", "pack", "plain", "scales", "unpack"}
    assert kernels == {"gemv", "stream", "gemm", "warpgroup"} | own
    for name in ("gemv", "gemm", "dense"):
        mine = [build for build in several if build.kernel == name]
        assert {build.capability for build in mine} == {80, 86, 89, 90, 100, 120}
        assert {build.dtype for build in mine} == set(script.DTYPES)
        assert {build.form for build in mine} == {"fp4.25", "fp5.33"}
    scales = {dict(b.options).get("scale_units") for b in several if b.kernel == "gemv"}
    assert scales == {0, 1, 2, 4}
    early = {(b.capability >= 90, dict(b.options).get("early", True)) for b in several
             if b.kernel not in own - {"dense", "normalize"}}  # fmt: skip
    assert early == {(True, True), (False, False)}, "kernels start early where a GPU can"
