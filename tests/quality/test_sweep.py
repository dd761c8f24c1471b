"""The study end to end on small weights: records, streams, and what is refused."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import tiny_llama
from amssim import scheme
from amssim.errors import FormatError, InputError
from amssim.lm.moments import activation_moments
from amssim.metrics import Metrics
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.layers.sources import from_array, from_density, from_file
from amssim.quality.output_noise import OutputNoise
from amssim.quality.sharing.options import SharingOptions
from amssim.quality.sharing.restore import restore
from amssim.quality.sharing.study import default_study, sharing_study
from amssim.quality.theory.density import density

RNG = np.random.default_rng(6)
A, B = (RNG.standard_normal(shape).astype(np.float32) for shape in ((8, 64), (4, 96)))


def test_records_add_up_over_matrices():
    choice = SharingOptions(scheme("fp4.25"))
    (record,) = sharing_study([LinearLayer("a", A), LinearLayer("b", B)], [choice])
    expected = Metrics.of(A, restore(A, choice)) + Metrics.of(B, restore(B, choice))
    assert record["mse"] == expected.mse and record["count"] == A.size + B.size
    bits = [float(choice.effective_bits(m.shape)) * m.size for m in (A, B)]
    assert record["effective_bits"] == pytest.approx(sum(bits) / record["count"])
    assert "output_sqnr_db" not in record


def test_the_default_study_covers_every_dimension():
    records = sharing_study([LinearLayer("a", A)], default_study())
    for name, least in (
        ("k", 8),
        ("element", 4),
        ("search", 5),
        ("share_axis", 2),
        ("order", 3),
        ("scale", 2),
        ("scale_block", 5),
    ):
        assert len({r[name] for r in records}) == least, name
    assert json.loads(json.dumps(records, allow_nan=False)) == records


def test_adaptive_is_never_worse_than_another_rule():
    rules = {r["search"]: r["mse"] for r in sharing_study([LinearLayer("a", A)], default_study())
             if (r["scheme"], r["scale"], r["share_axis"], r["order"], r["scale_block"])
             == ("fp4.25-e2m2", "absmax", "input", "stored", None)}  # fmt: skip
    assert len(rules) == 5
    assert rules["adaptive"] == min(rules.values())


def test_output_error_is_that_of_the_products():
    x = RNG.standard_normal((200, 64)).astype(np.float32) * np.linspace(0.1, 3, 64, dtype="f4")
    choice = SharingOptions(scheme("fp4.25"))
    (record,) = sharing_study([LinearLayer("a", A, activation_moments(x))], [choice])
    y = x.astype(float) @ A.T
    noise = x.astype(float) @ (A - restore(A, choice)).astype(float).T
    expected = 10 * np.log10((y**2).sum() / (noise**2).sum())
    assert record["output_sqnr_db"] == pytest.approx(expected, abs=1e-3)


def test_a_weighted_search_lowers_the_output_error_of_independent_inputs():
    choices = [SharingOptions(scheme("fp4.25")), SharingOptions(scheme("fp4.25"), weighted=True)]
    moments = np.diag(np.linspace(0.1, 3, 64, dtype=np.float32) ** 2)
    plain, weighted = sharing_study([LinearLayer("a", A, moments)], choices)
    assert weighted["output_sqnr_db"] > plain["output_sqnr_db"]
    assert weighted["sqnr_db"] < plain["sqnr_db"]


def test_moments_of_another_size():
    with pytest.raises(InputError, match=r"have 3 columns: expected 64 for weights \[8, 64\]"):
        OutputNoise.of(A, A, np.eye(3))
    with pytest.raises(InputError, match="activations must be finite floats"):
        activation_moments(np.full((3, 4), np.nan))
    with pytest.raises(InputError, match="activations have squares beyond float32"):
        activation_moments(np.full((3, 4), 1e30))


def test_outputs_without_error_or_without_signal():
    assert OutputNoise.of(A, A, np.eye(64)).as_dict() == {"output_sqnr_db": None}
    blind = np.diag(np.float32([1] + 63 * [0]))
    zero = A * np.float32([0] + 63 * [1])
    assert OutputNoise.of(zero, zero + 1, blind).as_dict() == {"output_sqnr_db": None}
    assert OutputNoise.of(zero, zero, blind).as_dict() == {}


def test_random_weights_are_reproducible_and_counted():
    first, again = (list(from_density(density("laplace"), 5_000_000, seed=3)) for _ in range(2))
    assert sum(m.weights.size for m in first) == pytest.approx(5_000_000, rel=1e-3)
    assert all((a.weights == b.weights).all() for a, b in zip(first, again, strict=True))
    assert len(first) == 2 and not (first[0].weights[:10] == first[1].weights[:10]).all()


def test_a_checkpoint_gives_its_linear_layers(tmp_path):
    found = {m.name: m.weights for m in from_file(tiny_llama.write(tmp_path))}
    assert len(found) == 14 and all("proj" in name for name in found)
    name = "model.layers.0.mlp.up_proj.weight"
    stored = tiny_llama.tensors(tiny_llama.CONFIG)[name]
    assert found[name].dtype == np.float32 and (found[name] == stored).all()


def test_arrays_become_matrices(tmp_path):
    np.save(tmp_path / "w.npy", np.ones((2, 3, 4), np.float16))
    (layer,) = from_file(tmp_path / "w.npy")
    weights = layer.weights
    assert (layer.name, weights.shape, weights.dtype) == ("w.npy", (6, 4), np.float32)
    assert next(from_array(np.ones(5))).weights.shape == (1, 5)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros((0, 4), np.float32), r"bad is empty, shape \[0, 4\]"),
        (np.zeros((2, 4), np.float32), "every weight is zero"),
        (np.full(4, np.nan), r"bad must be a matrix \[rows, cols\], found \[4\]"),
        (np.ones((2, 4), np.int64), "bad must hold floats, found int64"),
        (np.float32([[1, np.nan], [np.inf, 2]]), r"NaN.*2 in all, the first at \[0, 1\]"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(InputError, match=message):
        sharing_study([LinearLayer("bad", weights)], [SharingOptions(scheme("fp4.25"))])


def test_constant_rows_have_an_error_like_any_other():
    (record,) = sharing_study(
        [LinearLayer("flat", np.full((3, 8), 0.7, np.float32))], [SharingOptions(scheme("fp4.25"))]
    )
    assert record["sqnr_db"] is None or record["sqnr_db"] > 100  # the maximum is exact


@pytest.mark.parametrize("factor", [1e-44, 1e-38, 1e38])
def test_magnitudes_near_the_limits_are_measured(factor):
    w = (RNG.uniform(-3, 3, (4, 24)) * factor).astype(np.float32)
    records = sharing_study([LinearLayer("w", w)], default_study())
    plain = next(r for r in records if r["scheme"] == "fp6-e2m3")
    assert factor < 1e-40 or plain["sqnr_db"] > 25


def test_no_weights_at_all():
    with pytest.raises(InputError, match="cannot draw 0 weights in rows of 4"):
        list(from_density(density("normal"), 0, columns=4))
    with pytest.raises(InputError, match="no weights to measure"):
        sharing_study([], [SharingOptions(scheme("fp4.25"))])


def test_bad_sources(tmp_path):
    with pytest.raises(InputError, match="must hold floats, found int64"):
        list(from_array(np.arange(4)))
    with pytest.raises(InputError, match=r"must hold weights, found shape \[0\]"):
        list(from_array(np.zeros(0)))
    with pytest.raises(InputError, match=r"holds no \.safetensors file"):
        list(from_file(tmp_path))
    save_file({"model.embed_tokens.weight": A, "norm.weight": A[0]}, tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="holds no weights of linear layers among 2 tensors"):
        list(from_file(tmp_path))
    (tmp_path / "m.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(FormatError, match=r"m\.safetensors"):
        list(from_file(tmp_path))
