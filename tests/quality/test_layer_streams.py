"""Where layers come from, what is known of their inputs, and how far long work has come."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import tiny_llama
from amssim.errors import FormatError, InputError
from amssim.lm.load import linear_weights, load_model
from amssim.lm.moments import activation_moments
from amssim.quality.evaluation.evaluate import model_layers
from amssim.quality.layers.inputs import Inputs
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.layers.sources import (
    check_matrix,
    from_array,
    from_density,
    from_file,
    weight_count,
    with_progress,
)
from amssim.quality.report.contents import sampled
from amssim.quality.theory.density import density

RNG = np.random.default_rng(2)


@given(st.integers(1, 50_000), st.integers(1, 300), st.integers(0, 9))
def test_about_as_many_weights_as_asked_for(count, columns, seed):
    layers = list(from_density(density("normal"), count, columns=columns, seed=seed))
    drawn = sum(layer.weights.size for layer in layers)
    assert all(layer.weights.shape[1] == columns for layer in layers)
    assert abs(drawn - count) <= columns / 2 or drawn == columns
    assert all(layer.weights.dtype == np.float32 for layer in layers)


def test_seeds_draw_different_weights():
    one, other = (next(from_density(density("normal"), 512, columns=8, seed=s)) for s in (0, 1))
    assert one.name == other.name == "normal[0]"
    assert not (one.weights == other.weights).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_floats_of_any_kind_become_float32(dtype):
    values = np.array([[0.5, -2.0], [3.0, 0.0]]).astype(dtype)
    (layer,) = from_array(values, "w")
    assert layer == LinearLayer("w", layer.weights) and layer.weights.dtype == np.float32
    assert layer.weights.tolist() == [[0.5, -2.0], [3.0, 0.0]]


def test_leading_axes_are_rows():
    stack = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
    (layer,) = from_array(stack)
    assert np.array_equal(layer.weights, stack.reshape(24, 5))


def test_float64_beyond_float32_is_refused_where_it_is_measured():
    (layer,) = from_array(np.full((2, 2), 1e300))
    with pytest.raises(InputError, match=r"array has values that are NaN or infinite, 4 in all"):
        check_matrix(layer.name, layer.weights)


def test_a_checkpoint_and_its_model_give_the_same_layers(tmp_path):
    folder = tiny_llama.write(tmp_path)
    by_file = {layer.name: layer.weights for layer in from_file(folder)}
    by_model = {layer.name: layer.weights for layer in model_layers(load_model(folder))}
    assert set(by_file) == set(by_model)
    assert all(np.array_equal(by_file[name], by_model[name]) for name in by_file)
    assert weight_count(folder) == sum(w.size for w in by_file.values())


def test_a_vector_of_weights_is_counted(tmp_path):
    np.save(tmp_path / "w.npy", np.ones((3, 7), np.float32))
    assert weight_count(tmp_path / "w.npy") == 21


@pytest.mark.parametrize("name", ["cut.npy", "text.npy", "object.npy", "none.npy"])
def test_files_that_are_no_arrays(tmp_path, name):
    np.save(tmp_path / "whole.npy", np.ones(100))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:200])
    (tmp_path / "text.npy").write_text("0.5 0.25")
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(FormatError, match=f"{name} cannot be read as weights: "):
        list(from_file(tmp_path / name))


def test_progress_is_told_before_each_layer():
    told = []
    layers = with_progress(
        iter([LinearLayer("a", np.ones((2, 3))), LinearLayer("b", np.ones((1, 4)))]),
        10,
        lambda *now: told.append(now),
    )
    assert next(layers).name == "a" and told == [(0, 10, "a")]
    assert next(layers).name == "b" and told == [(0, 10, "a"), (6, 10, "b")]
    silent = with_progress(iter([LinearLayer("c", np.ones((1, 1)))]), 1, None)
    assert [layer.name for layer in silent] == ["c"]


@given(st.integers(1, 400), st.integers(1, 9), st.floats(0.01, 1.5))
def test_sampled_rows_are_rows_of_the_layer(rows, cols, share):
    weights = np.arange(rows * cols, dtype=np.float32).reshape(rows, cols)
    most = max(1, int(share * rows * cols))
    (kept,) = sampled(iter([LinearLayer("w", weights)]), rows * cols, most)
    assert min(rows, 8) <= len(kept.weights) <= rows
    assert {tuple(row) for row in kept.weights} <= {tuple(row) for row in weights}
    assert len(kept.weights) <= max(8, round(most / cols) + 1)
    if rows > 1:
        assert (kept.weights[0] == weights[0]).all() and (kept.weights[-1] == weights[-1]).all()


def test_inputs_of_one_file_are_those_of_every_layer(tmp_path):
    x = RNG.standard_normal((40, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    inputs = Inputs.of_file(tmp_path / "x.npy")
    layers = iter([LinearLayer("a", np.ones((2, 6))), LinearLayer("b", np.ones((3, 6)))])
    beside = list(inputs.beside(layers))
    assert [layer.name for layer in beside] == ["a", "b"]
    for layer in beside:
        assert layer.moments == pytest.approx(x.T @ x / 40, rel=1e-6, abs=1e-7)


def test_inputs_by_layer_are_looked_up_by_name(tmp_path):
    x = {"a": RNG.standard_normal((9, 4)).astype(np.float32)}
    save_file(x, tmp_path / "x.safetensors")
    inputs = Inputs.of_file(tmp_path / "x.safetensors")
    assert inputs.of("a") == pytest.approx(activation_moments(x["a"]))
    with pytest.raises(InputError, match=r"x\.safetensors has no inputs of b: expected inputs"):
        inputs.of("b")


def test_inputs_of_a_model_are_measured_for_each_layer(tmp_path):
    folder = tiny_llama.write(tmp_path)
    np.save(tmp_path / "tokens.npy", RNG.integers(0, 50, 700))
    inputs = Inputs.of_model(folder, tmp_path / "tokens.npy")
    config = load_model(folder).config
    for name in linear_weights(config):
        moments = inputs.of(name)
        assert (np.diag(moments) >= 0).all() and moments.shape == moments.T.shape


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones(3, np.float32), r"finite floats \[samples, columns\], found float32\[3\]"),
        (np.zeros((0, 3), np.float32), r"found float32\[0, 3\]"),
        (np.ones((2, 3), int), r"found int64\[2, 3\]"),
        (np.float32([[1, np.inf]]), r"found float32\[1, 2\]"),
        (np.full((2, 2), 1e25), "squares beyond float32: divide them by a power of two"),
    ],
)
def test_activations_that_are_refused(x, message):
    with pytest.raises(InputError, match=message):
        activation_moments(x)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_moments_of_activations_are_means_of_products(samples, cols, seed):
    x = np.random.default_rng(seed).integers(-5, 6, (samples, cols))
    found = activation_moments(x.astype(np.float32))
    assert found == pytest.approx(sum(np.outer(row, row) for row in x) / samples, rel=1e-6)
