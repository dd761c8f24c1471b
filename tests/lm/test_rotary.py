"""Rotary embeddings and values of config.json: formulas by hand, refusals word by word."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_llama
from amssim.errors import FormatError, UnsupportedError
from amssim.lm.config import LlamaConfig
from amssim.lm.config_values import flag, positive_number, positive_whole
from amssim.lm.llama import _rotate
from amssim.lm.rotary import ROPE_TYPES, Rotary

HEADS = st.integers(1, 32).map(lambda half: 2 * half)
BASES = st.floats(10, 1e6)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 256}  # fmt: skip


@given(BASES, HEADS)
def test_each_pair_turns_slower_by_the_same_factor(base, size):
    found = Rotary("default", base).inverse_frequencies(size)
    assert found.shape == (size // 2,) and found[0] == 1
    for i, frequency in enumerate(found):
        assert frequency == pytest.approx(math.pow(base, -2 * i / size), rel=1e-12)


@given(BASES, HEADS, st.floats(1, 32))
def test_linear_scaling_stretches_every_wavelength(base, size, factor):
    plain = Rotary("default", base).inverse_frequencies(size)
    scaled = Rotary("linear", base, factor=factor).inverse_frequencies(size)
    assert scaled == pytest.approx(plain / factor)


@given(BASES, HEADS)
def test_llama3_scaling_lies_between_none_and_the_whole_factor(base, size):
    rope = Rotary.of({"rope_theta": base, "rope_parameters": LLAMA3}, "config")
    plain = Rotary("default", base).inverse_frequencies(size)
    found = rope.inverse_frequencies(size)
    assert (found <= plain * (1 + 1e-12)).all() and (found >= plain / 8 * (1 - 1e-12)).all()
    wavelength = 2 * math.pi / plain
    assert found[wavelength < 64] == pytest.approx(plain[wavelength < 64])
    assert found[wavelength > 256] == pytest.approx(plain[wavelength > 256] / 8)
    assert (np.diff(found) <= 1e-15).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_turned_products_depend_on_the_distance_alone(seed, first, second, shift):
    """What makes a rotary embedding one: q at m and k at n see only m - n."""
    q, k = np.random.default_rng(seed).standard_normal((2, 8))
    angle = np.outer(np.arange(81), Rotary("default", 10000.0).inverse_frequencies(8))
    angle = np.concatenate([angle, angle], axis=1)

    def turned(x, position):
        return _rotate(np, x, np.cos(angle[position]), np.sin(angle[position]))

    here = turned(q, first) @ turned(k, second)
    there = turned(q, first + shift) @ turned(k, second + shift)
    assert here == pytest.approx(there, abs=1e-9)
    assert np.linalg.norm(turned(q, first)) == pytest.approx(np.linalg.norm(q))


def test_older_and_newer_spellings_say_the_same():
    older = Rotary.of({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}}, "c")
    newer = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}
    assert older == Rotary.of({"rope_parameters": newer}, "c") == Rotary("linear", 5e5, factor=2.0)
    assert Rotary.of({}, "c") == Rotary("default", 10000.0)


@pytest.mark.parametrize(
    ("rope", "error", "message"),
    [
        ({"rope_type": "yarn"}, UnsupportedError,
         f"c has rotary embedding 'yarn': expected one of {', '.join(ROPE_TYPES)}"),
        ([1], FormatError, r"c has a rotary embedding \[1\]: expected named numbers"),
        ({"type": "linear", "factor": 0}, FormatError, "c has factor = 0: expected a positive"),
        ({"type": "linear", "factor": "2"}, FormatError, "c has factor = '2': expected a positive"),
        ({"rope_theta": math.inf}, FormatError, "c has rope_theta = inf: expected a positive"),
        (LLAMA3 | {"low_freq_factor": 5.0}, FormatError,
         "c has low_freq_factor = 5: expected less than high_freq_factor = 4"),
    ],
)  # fmt: skip
def test_rotary_embeddings_that_are_refused(rope, error, message):
    with pytest.raises(error, match=message):
        Rotary.of({"rope_scaling": rope}, "c")


@pytest.mark.parametrize("value", [0, -1, 1.0, "4", True, [4]])
def test_sizes_that_are_refused(value):
    with pytest.raises(FormatError, match=r"^c has n = .*: expected a positive whole number$"):
        positive_whole({"n": value}, "n", "c", default=3)


@pytest.mark.parametrize("value", [0, -0.5, math.nan, math.inf, "1", True])
def test_numbers_that_are_refused(value):
    with pytest.raises(FormatError, match=r"^c has n = .*: expected a positive number$"):
        positive_number({"n": value}, "n", "c", default=3.0)


@pytest.mark.parametrize("value", [1, "true", 0.5, [False]])
def test_truth_values_that_are_refused(value):
    with pytest.raises(FormatError, match=r"^c has n = .*: expected true or false$"):
        flag({"n": value}, "n", "c")


def test_missing_values_have_defaults_or_are_refused():
    assert (
        positive_whole({"n": None}, "n", "c", default=3)
        == positive_whole({}, "n", "c", default=3)
        == 3
    )
    assert positive_number({}, "n", "c", default=0.5) == 0.5 and flag({}, "n", "c") is False
    assert positive_number({"n": 2}, "n", "c") == 2.0
    for read in (positive_whole, positive_number):
        with pytest.raises(FormatError, match="c has n = None: expected"):
            read({}, "n", "c")


@pytest.mark.parametrize(
    ("changed", "biased"),
    [
        ({}, ()),
        ({"model_type": "qwen2"}, ("q", "k", "v")),
        ({"attention_bias": True}, ("q", "k", "v", "o")),
        ({"mlp_bias": True}, ("gate", "up", "down")),
    ],
)
def test_layers_with_a_bias(changed, biased):
    found = LlamaConfig.of(tiny_llama.CONFIG | changed).biased
    assert tuple(name.split(".")[1].removesuffix("_proj") for name in found) == biased


def test_a_model_of_no_width_is_refused_in_its_own_words():
    with pytest.raises(FormatError, match="config has head_dim = 0: expected a positive whole"):
        LlamaConfig.of(tiny_llama.CONFIG | {"head_dim": None, "num_attention_heads": 64})
