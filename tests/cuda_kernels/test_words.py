"""Kernel layouts are bijections of the codes and of the canonical words."""

import numpy as np
import pytest
from gpu_cases import random_codes
from hypothesis import given, settings
from hypothesis import strategies as st

import amssim
from cuda_kernels.forms import FORMS, FP4_25, FP5_33, form_of, widen_codes
from cuda_kernels.forms import host as words

forms = st.sampled_from(FORMS)


@settings(max_examples=40)
@given(forms, st.integers(1, 40), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_codes_survive_packing(form, rows, columns, seed):
    codes = random_codes(form, rows, columns, np.random.default_rng(seed))
    packed, tails = words.pack_form(codes, form)
    assert packed.nbytes + tails.nbytes == form.nbytes(rows, columns)
    assert (words.unpack_form(packed, tails, form, rows, columns) == codes).all()


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_every_word_is_what_it_decodes_to(form):
    """All 2^16 low halves beside random high halves, and the other way round."""
    rng = np.random.default_rng(1)
    every = np.arange(2**16, dtype=np.uint32)
    other = rng.integers(0, 2**16, 2**16, np.uint32)
    found = np.concatenate([every | other << 16, other | every << 16]).reshape(1, -1, 32, 4)
    tails = rng.integers(0, 2**32, (1, found.shape[1] // 4, 32), np.uint32)
    columns = found.shape[1] * form.unit_weights
    codes = words.unpack_form(found, tails, form, 16, columns)
    again, tails_again = words.pack_form(codes, form)
    assert (again == found).all()
    assert not form.has_tails or (tails_again == tails).all()


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_decoded_halves_are_values_times_a_power_of_two(form):
    rng = np.random.default_rng(2)
    found = rng.integers(0, 2**32, (1, 4, 32, 4), np.uint32)
    tails = rng.integers(0, 2**32, (1, 1, 32), np.uint32)
    codes = words.unpack_form(found, tails, form, 16, 4 * form.unit_weights)
    unit = found[0, 0].T
    fragments = form.decode.model(tuple(unit), tails[0, 0])
    halves = np.stack(fragments, 1).astype(np.uint32).view(np.float16).astype(np.float64)
    first = np.abs(form.element.decode(codes[:, : form.unit_weights])).astype(np.float64)
    assert np.sort(np.abs(halves).ravel() * 2**14).tolist() == np.sort(first.ravel()).tolist()


@pytest.mark.parametrize("scheme", [s for s in amssim.schemes() if form_of(s)], ids=str)
def test_presets_keep_their_values_in_the_form_that_holds_them(scheme):
    form = form_of(scheme)
    rng = np.random.default_rng(3)
    packed = amssim.quantize(rng.standard_normal((20, 150)).astype(np.float32), scheme)
    codes = widen_codes(packed.codes(), scheme, form)
    again = words.unpack_form(*words.pack_form(codes, form), form, 20, 150)
    values = scheme.minifloat.decode(packed.codes())
    assert (form.element.decode(again) == values).all()


def test_forms_of_schemes():
    assert form_of(amssim.scheme("fp5.33")) is FP5_33
    assert form_of(amssim.scheme("fp4.25")) is FP4_25
    assert form_of(amssim.scheme("ams-e2m2-k8")) is FP4_25
    assert form_of(amssim.scheme("fp5-e2m2")) is FP5_33
    assert form_of(amssim.scheme("fp6-e2m3")) is None
    assert form_of(amssim.scheme("fp6-e3m2")) is None
