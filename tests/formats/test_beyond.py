"""The extensions: bits that stay the same, errors that fall, and brute force where it is small."""

from fractions import Fraction
from itertools import pairwise
from math import prod

import numpy as np
import pytest

from amssim import InputError, SchemeError, formats, unpack
from amssim.formats.ams.ams import Ams
from amssim.formats.ams.gptq import GptqAms
from amssim.formats.ams.group_search import GroupSearch
from amssim.formats.ams.joint import JointAms, JointGptq, joint_scales
from amssim.formats.ams.negative_zero import NegativeZero
from amssim.formats.ams.permutation import Permuted, by_affinity
from amssim.formats.ams.sub_tables import sub_tables
from amssim.scheme import FP4_25, FP5_33

EXTENSIONS = [
    JointAms("fp4.25"),
    JointAms("fp5.33", scale_block=48),
    JointGptq("fp4.25"),
    NegativeZero("fp4.25"),
    NegativeZero("fp4.25", scale_block=32, feedback=True),
    Permuted(Ams("fp4.25"), "affinity"),
    Permuted(GptqAms("fp5.33"), "importance"),
    Permuted(formats.find_format("nf4"), "norm"),
]


def weights(shape, seed=0):
    return (0.02 * np.random.default_rng(seed).standard_t(5, shape)).astype(np.float32)


def moments(cols, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3 * cols, cols)) @ (np.eye(cols) + 0.1 * rng.random((cols, cols)))
    x *= np.exp(0.5 * rng.standard_normal(cols))
    return x.T @ x / len(x)


def noise(w, found, h=None):
    e = w.astype(np.float64) - found.dequantize()
    return np.sum(e**2) if h is None else np.einsum("ij,jk,ik->", e, h, e)


@pytest.mark.parametrize("form", EXTENSIONS, ids=lambda f: f.name)
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (4, 131)], ids=str)
def test_what_is_stored_is_what_is_counted(form, shape):
    w = weights(shape)
    found = form.quantize(w, moments(shape[1]))
    layout = form.layout(shape)
    assert set(found.parts) == set(layout)
    for name, part in layout.items():
        array = found.parts[name]
        assert array.shape == tuple(part.shape), name
        assert array.dtype.kind == "f" or int(array.max()) < 2**part.bits, name
    bits = sum(prod(part.shape) * part.bits for part in layout.values())
    assert found.effective_bits * w.size == bits
    restored = found.dequantize()
    assert restored.shape == shape and np.isfinite(restored).all()
    zeros = form.quantize(np.zeros(shape, np.float32), moments(shape[1])).dequantize()
    assert not zeros.any()


@pytest.mark.parametrize("form", EXTENSIONS[:-1], ids=lambda f: f.name)
@pytest.mark.parametrize("factor", [1e-30, 1e-20, 1e20, 1e37])
def test_magnitudes_near_the_limits_change_no_code(form, factor):
    w, h = weights((3, 48)), moments(48)
    power = np.float32(2.0) ** np.round(np.log2(factor))
    assert np.array_equal(form.quantize(w * power, h).dequantize(),
                          form.quantize(w, h).dequantize() * power)  # fmt: skip


@pytest.mark.parametrize("form", EXTENSIONS, ids=lambda f: f.name)
def test_bad_weights_get_a_sentence(form):
    with pytest.raises(InputError, match=r"first at \[0, 1\]"):
        form.quantize(np.float32([[0, np.nan]]))
    with pytest.raises(InputError, match="filled matrix"):
        form.quantize(np.zeros((2, 0), np.float32))


@pytest.mark.parametrize("scheme", ["fp4.25", "fp5.33"])
def test_each_extension_lowers_its_error_at_the_same_bits(scheme):
    w, h = weights((16, 144), 2), moments(144)
    mse = Ams(scheme, scale="mse").quantize(w)
    joint, special = JointAms(scheme).quantize(w), NegativeZero(scheme).quantize(w)
    assert mse.effective_bits == joint.effective_bits
    assert special.effective_bits - mse.effective_bits == Fraction(8, w.size)
    assert noise(w, special) < 0.985 * noise(w, joint) < noise(w, mse)
    d = np.diag(np.diag(h))
    weighted = JointAms(scheme).quantize(w, np.diag(h))
    assert noise(w, weighted, d) < 0.99 * noise(w, joint, d)
    fed = JointGptq(scheme).quantize(w, h)
    assert fed.effective_bits == mse.effective_bits
    assert noise(w, fed, h) < 0.9 * noise(w, weighted, h)
    both = NegativeZero(scheme, feedback=True).quantize(w, h)
    assert noise(w, both, h) < noise(w, fed, h)


def test_group_search_on_absmax_scales_is_the_adaptive_search():
    w = weights((6, 132), 3)
    plain = Ams("fp5.33").quantize(w)
    tables = [table for table, _ in sub_tables(FP5_33)]
    search = GroupSearch(w, np.ones(132, np.float32), 3, 132)
    values = search.values(plain.parts["scales"], tables) * plain.parts["scales"]
    assert np.array_equal(values, plain.dequantize())
    errors = ((w - plain.dequantize()).astype(np.float64) ** 2).sum(axis=1, keepdims=True)
    assert search.errors(plain.parts["scales"], tables) == pytest.approx(errors, rel=1e-4)


def test_joint_scales_are_no_worse_than_any_factor():
    w = weights((4, 64), 4)
    tables = [table for table, _ in sub_tables(FP4_25)]
    search = GroupSearch(w, np.ones(64, np.float32), 4, 16)
    base = np.abs(w).reshape(4, 4, 16).max(axis=2) / np.float32(7)
    factors = (1.0, 0.9, 0.8)
    error = search.errors(joint_scales(search, tables, base, factors=factors), tables)
    for factor in factors:
        assert (error <= search.errors(base * np.float32(factor), tables)).all()


def test_scale_blocks_must_not_cut_groups():
    with pytest.raises(SchemeError, match="blocks of 256 columns cut groups of 3"):
        JointAms("fp5.33", scale_block=256).quantize(weights((1, 600)))


def test_negative_zero_by_brute_force():
    """One group of four: every special value, sign, shared bit and code at a given scale."""
    form, element = NegativeZero("fp4.25"), FP4_25.minifloat
    for seed in range(5):
        w = weights((1, 4), seed)
        found = form.quantize(w)
        scale, special = abs(float(found.parts["scales"][0, 0])), int(found.parts["special"][0])
        errors = []
        for sign in (1, -1):
            even = np.append(element.values[0::2], element.values[special]) * sign
            for table in (even, element.values[1::2]):
                errors.append((np.abs(w[0, :, None] - scale * table).min(axis=1) ** 2).sum())
        assert noise(w, found) == pytest.approx(min(errors), rel=1e-4, abs=1e-12)


def test_negative_zero_is_written_and_means_the_special_value():
    w = np.random.default_rng(5).standard_normal((16, 512)).astype(np.float32)
    found = NegativeZero("fp4.25").quantize(w)
    codes = unpack(found.parts["words"], FP4_25, w.shape[1])
    uses = codes == FP4_25.minifloat.sign_bit
    assert 0.01 < uses.mean() < 0.2
    special = FP4_25.minifloat.values[found.parts["special"][0]]
    scales = np.broadcast_to(found.parts["scales"], w.shape)
    assert np.array_equal(found.dequantize()[uses], (special * scales)[uses])
    # the first value past the step where the spacing of shared bit 0 doubles
    assert special == 2.5


def test_the_special_value_serves_either_side_of_zero():
    row = np.random.default_rng(6).standard_normal((1, 256)).astype(np.float32)
    found = NegativeZero("fp4.25").quantize(np.concatenate([row, -row]))
    assert found.parts["scales"][0] == -found.parts["scales"][1]
    assert np.array_equal(found.dequantize()[0], -found.dequantize()[1])


def test_a_special_value_needs_a_shared_bit():
    with pytest.raises(SchemeError, match="needs a shared bit"):
        NegativeZero("fp6-e2m3")


def test_permuted_is_the_inner_format_on_moved_columns():
    w, h = weights((5, 64), 6), moments(64)
    form = Permuted(GptqAms("fp4.25"), "importance")
    columns = np.argsort(-np.diag(h), kind="stable")
    inner = form.inner.quantize(w[:, columns], h[np.ix_(columns, columns)])
    found = form.quantize(w, h)
    assert np.array_equal(found.dequantize()[:, columns], inner.dequantize())
    assert found.effective_bits - inner.effective_bits == Fraction(6, 5)


def test_affinity_brings_columns_together_that_agree():
    rng = np.random.default_rng(7)
    half = rng.standard_normal((64, 20)).astype(np.float32)
    shuffled = rng.permutation(40)
    w = np.concatenate([half, half], axis=1)[:, shuffled]  # each column has a twin
    columns = by_affinity(w, formats.find_format("fp4.5").scheme)
    assert sorted(columns) == list(range(40))
    twins = shuffled[columns] % 20
    assert (twins[0::2] == twins[1::2]).mean() > 0.9


def test_options_that_an_extension_decides_are_refused():
    for build, option in ((JointAms, {"scale": "mse"}), (JointGptq, {"weighted": True})):
        with pytest.raises(SchemeError, match=r"decides '.*' itself: leave it out"):
            build("fp4.25", **option)
    with pytest.raises(SchemeError, match="decides 'search' itself"):
        GptqAms("fp4.25", search="zero")


def test_moments_that_no_inputs_have_are_refused():
    h = np.diag([1.0, -0.0, 1.0]) + np.roll(np.eye(3), 1, axis=0) * 9
    with pytest.raises(InputError, match="not positive semidefinite"):
        GptqAms("fp4.25").quantize(weights((2, 3)), h)


def test_unknown_orders():
    with pytest.raises(SchemeError, match="unknown order 'size'"):
        Permuted(Ams("fp4.25"), "size")
    with pytest.raises(SchemeError, match="needs an AMS format"):
        Permuted(formats.find_format("nf4"), "affinity")


def test_norms_are_sorted():
    w = weights((9, 33), 8)
    found = Permuted(Ams("fp4.25"), "norm").quantize(w)
    norms = (w[:, found.parts["columns"]].astype(np.float64) ** 2).sum(axis=0)
    assert all(a >= b for a, b in pairwise(norms))
