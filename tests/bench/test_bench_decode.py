"""The arithmetic of the decoding benchmark: names of variants, parts of a step, speeds."""

import pytest

from amssim.bench.decode.benchmark import with_speeds
from amssim.bench.decode.kernels import PARTS, Launch, alone_us, longest, part_named, parts_us
from amssim.bench.decode.variant import DecodeVariant
from amssim.errors import InputError, SchemeError


def test_a_variant_is_what_its_words_say():
    variant = DecodeVariant.parse("fp4.25+bf16+fused+compiled+early+attend+head")
    assert variant.scheme.name == "fp4.25-e2m2"
    assert variant.dtype == "bfloat16"
    assert (variant.fused, variant.compiled, variant.early) == (True, True, True)
    assert (variant.attend, variant.head, variant.sdpa) == (True, True, False)
    assert variant.bits == 4.25
    assert DecodeVariant.parse("bf16").bits is None
    assert DecodeVariant.parse("fp5.33").dtype == "float16"


@pytest.mark.parametrize("name", ["fp16+quick", "fp16+head", "fp16+bf16", "fp4.25+fp16+fp32"])
def test_other_words_are_refused(name):
    with pytest.raises(InputError, match="variant"):
        DecodeVariant.parse(name)


def test_an_unknown_scheme_is_refused():
    with pytest.raises(SchemeError):
        DecodeVariant.parse("fp99")


@pytest.mark.parametrize(
    ("kernel", "part"),
    [
        ("cuda_kernels::gemv::kernel::make_gemv::_3clocals_3e::gemv[abi:v59]", "products"),
        ("nvjet_sm90_hsh_128x8_64x12_2x1_v_bz_TNT", "products"),
        ("void cublasLt::splitKreduce_kernel<32, 16, int>", "products"),
        ("triton_poi_fused_gemv_mul_silu_slice_8", "norms and activations"),
        ("triton_red_fused__to_copy_add_linear_mean_mul_pow_rsqrt_12", "norms and activations"),
        ("triton_poi_fused__scaled_dot_product_cudnn_attention__to_copy", "attention"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16", "attention"),
        ("void cudnn::fusion::lean_reduction_kernel<false>", "attention"),
        ("_attend", "attention"),
        ("void at::native::elementwise_kernel<128, 4>", "other"),
    ],
)
def test_parts_by_name_of_a_kernel(kernel, part):
    assert part_named(kernel) == part


def test_what_overlaps_counts_once():
    launches = [Launch("a", 0, 4), Launch("b", 1, 3), Launch("c", 2, 7), Launch("d", 9, 10)]
    assert alone_us(launches) == [4, 0, 3, 1]


def test_parts_and_gaps_add_up_to_the_step():
    launches = [
        Launch("cuda_kernels::gemv", 10, 20),
        Launch("_attend", 18, 24),
        Launch("triton_red_fused_rsqrt", 25, 26),
        Launch("cuda_kernels::gemv", 26, 40),
        Launch("argmax", 41, 42),
    ]
    found = parts_us(reversed(launches))
    assert list(found) == list(PARTS)
    assert found["products"] == {"launches": 1, "us": 10}
    assert found["head"] == {"launches": 1, "us": 14}
    assert found["attention"]["us"] == 4
    assert found["gaps"]["us"] == 2
    assert sum(part["us"] for part in found.values()) == 32


def test_a_head_that_is_added_up_from_slices_is_two_launches():
    launches = [
        Launch("nvjet_sm90", 0, 5),
        Launch("nvjet_sm90", 5, 9),
        Launch("cublasLt::splitKreduce_kernel", 9, 10),
    ]
    assert parts_us(launches)["head"] == {"launches": 2, "us": 5}
    assert parts_us([])["head"] == {"launches": 0, "us": 0}


def test_the_longest_kernels_come_first():
    launches = [Launch("a", 0, 1), Launch("b", 1, 5), Launch("a", 4, 6)]
    assert longest(launches, 2) == [
        {"kernel": "b", "launches": 1, "us": 4.0, "whole_us": 4},
        {"kernel": "a", "launches": 2, "us": 2.0, "whole_us": 3},
    ]


def test_speed_is_over_the_fastest_floats_of_the_batch():
    results = [
        {"batch": 1, "ms": 8.0, "scheme": None},
        {"batch": 1, "ms": 4.0, "scheme": None},
        {"batch": 1, "ms": 2.0, "scheme": "fp4.25-e2m2"},
        {"batch": 8, "ms": 3.0, "scheme": "fp4.25-e2m2"},
        {"error": "none", "scheme": None},
    ]
    speeds = [r.get("speedup") for r in with_speeds(results)]
    assert speeds == [0.5, 1.0, 2.0, None, None]
