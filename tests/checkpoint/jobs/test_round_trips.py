"""What a job states is what it writes, and what is written comes back, for any checkpoint."""

from collections import Counter
from fractions import Fraction
from math import prod

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

from amssim import InputError, PackedTensor, SchemeError, quantize
from amssim.checkpoint import (
    dequantize_checkpoint,
    inspect_checkpoint,
    open_checkpoint,
    plan_dequantize,
    plan_quantize,
    quantize_checkpoint,
    verify_checkpoint,
)
from checkpoint.builders import DTYPES, make_model, weights, write_tensors

FLOATS = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float32": np.float32}

odd_names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
matrix_shapes = st.tuples(st.integers(1, 4), st.integers(1, 40))
stack_shapes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 20))


@st.composite
def checkpoints(draw):
    """Tensors of one file: some that are quantised, some that are kept, names of any characters."""
    tensors = {}
    for name in draw(st.lists(odd_names, unique=True, min_size=1, max_size=3)):
        dtype, seed = draw(st.sampled_from(sorted(FLOATS))), draw(st.integers(0, 9))
        kind = draw(st.sampled_from(["matrix", "experts"]))
        suffix, shape = {
            "matrix": (".weight", draw(matrix_shapes)),
            "experts": (".experts.w", draw(stack_shapes)),
        }[kind]
        tensors[name + suffix] = weights(*shape, seed=seed, dtype=dtype)
    for name in draw(st.lists(odd_names, unique=True, max_size=2)):
        shape = draw(st.lists(st.integers(0, 5), max_size=4).filter(lambda s: len(s) != 2))
        dtype = draw(st.sampled_from(sorted(DTYPES)))
        array = np.arange(prod(shape)).reshape(shape).astype(dtype)
        tensors.setdefault(f"{name}.bias", array)
    return tensors


def quantised(tensors):
    """Names of what is quantised by default, with the stacks as matrices of float32."""
    return {
        name: array.astype(np.float32).reshape(-1, array.shape[-1])
        for name, array in tensors.items()
        if not name.endswith(".bias") and "embed" not in name
    }


@settings(max_examples=25)
@given(
    checkpoints(),
    st.sampled_from(["fp5.33", "fp4.25", "fp6-e2m3", "ams-e3m3-k5", "ams-e4m3-k2"]),
    st.none() | st.integers(1, 24),
    st.sampled_from(["absmax", "mse"]),
)
def test_sizes_stated_are_bytes_written(tmp_path_factory, tensors, form, block, scale):
    folder = tmp_path_factory.mktemp("sizes")
    src, out = write_tensors(folder / "a.safetensors", tensors), folder / "b.safetensors"
    options = {"scale_block": block, "scale": scale}
    job = plan_quantize(src, form, **options)
    done = quantize_checkpoint(src, out, form, **options)
    assert done.as_dict() == job.as_dict()
    assert job.output_bytes == out.stat().st_size
    stored, summary = open_checkpoint(out), job.summary
    assert [t.name for t in summary.tensors] == sorted(tensors)
    for tensor in summary.tensors:
        value = stored[tensor.name]
        assert tensor.nbytes == value.nbytes and tensor.weight_count == tensors[tensor.name].size
        assert isinstance(value, PackedTensor) == (tensor.packing is not None)
    packed = [stored[name] for name in stored if isinstance(stored[name], PackedTensor)]
    count = sum(prod(p.shape) for p in packed)
    assert summary.coverage == Fraction(count, sum(a.size for a in tensors.values()))
    assert summary.packed.effective_bits == Fraction(sum(8 * p.nbytes for p in packed), count)
    assert sum(p.nbytes for p in summary.portions()) == summary.total.nbytes
    assert inspect_checkpoint(out).summary == summary
    back, plain = plan_dequantize(out, "float32"), folder / "c.safetensors"
    dequantize_checkpoint(out, plain, "float32")
    assert back.output_bytes == plain.stat().st_size
    sizes = {name: array.nbytes for name, array in load_file(plain).items()}
    assert {t.name: t.nbytes for t in back.summary.tensors} == sizes


@settings(max_examples=25)
@given(checkpoints(), st.sampled_from(sorted(FLOATS)), st.sampled_from(["fp5.33", "fp4.25"]))
def test_every_tensor_comes_back_as_its_rounded_weights(tmp_path_factory, tensors, dtype, form):
    folder = tmp_path_factory.mktemp("back")
    src = write_tensors(folder / "a.safetensors", tensors, {"format": "pt", "other": "x"})
    quantize_checkpoint(src, folder / "b.safetensors", form)
    dequantize_checkpoint(folder / "b.safetensors", folder / "c.safetensors", dtype)
    back = load_file(folder / "c.safetensors")
    assert back.keys() == tensors.keys()
    matrices = quantised(tensors)
    for name, array in tensors.items():
        assert back[name].shape == array.shape
        if name in matrices:
            rounded = quantize(matrices[name], form).dequantize(FLOATS[dtype])
            assert back[name].dtype == FLOATS[dtype]
            assert back[name].tobytes() == rounded.tobytes()
        else:
            assert back[name].dtype == array.dtype and back[name].tobytes() == array.tobytes()
    with safe_open(folder / "c.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}
    report = verify_checkpoint(folder / "b.safetensors", src)
    assert report.packed == len(matrices) and report.tensors == len(tensors)


def on_the_grid(form: str, rows: int, columns: int, power: int) -> np.ndarray:
    """Weights that the scheme holds exactly, with the scale 2**power in every row."""
    packed = quantize(weights(rows, columns, dtype="float32"), form)
    ones = np.ones_like(packed.scales)
    values = PackedTensor(packed.scheme, packed.shape, packed.words, ones).dequantize()
    values[:, : packed.scheme.k] = packed.scheme.minifloat.max_value
    return np.ldexp(values, power)


@pytest.mark.parametrize("form", ["fp5.33", "fp4.25", "fp6-e3m2", "ams-e4m3-k2", "fp4-e2m1"])
@pytest.mark.parametrize("search", ["adaptive", "replace"])
@pytest.mark.parametrize("dtype", sorted(FLOATS))
def test_weights_that_the_scheme_holds_come_back_unchanged(tmp_path, form, search, dtype):
    exact = on_the_grid(form, 9, 50, -3).astype(dtype)
    assert np.array_equal(exact.astype(np.float32), on_the_grid(form, 9, 50, -3))
    src = write_tensors(tmp_path / "a.safetensors", {"w.weight": exact})
    quantize_checkpoint(src, tmp_path / "b.safetensors", form, search=search)
    dequantize_checkpoint(tmp_path / "b.safetensors", tmp_path / "c.safetensors", dtype)
    assert np.array_equal(load_file(tmp_path / "c.safetensors")["w.weight"], exact)
    assert verify_checkpoint(tmp_path / "b.safetensors", src).total.error_squares == 0


def test_a_dtype_that_is_too_narrow_is_named_with_the_tensor(tmp_path):
    big = np.float32([[1e30, 1.0], [1.0, 1.0]])
    src = write_tensors(tmp_path / "a.safetensors", {"big.weight": big})
    quantize_checkpoint(src, tmp_path / "b.safetensors")
    with pytest.raises(InputError) as refused:
        dequantize_checkpoint(tmp_path / "b.safetensors", tmp_path / "c.safetensors", "float16")
    assert str(refused.value) == (
        f"{tmp_path / 'b.safetensors'}: tensor 'big.weight' exceeds the range of float16: "
        "choose a wider dtype"
    )
    assert not (tmp_path / "c.safetensors").exists()
    with pytest.raises(SchemeError, match="unknown dtype 'int8': choose one of bfloat16, float16"):
        dequantize_checkpoint(tmp_path / "b.safetensors", tmp_path / "c.safetensors", "int8")


@pytest.mark.parametrize(("shape", "place"), [((4, 6), (2, 3)), ((3, 4, 6), (1, 2, 5))])
@pytest.mark.parametrize("elements", [1, 13, 1 << 24])
def test_where_a_weight_is_not_finite(tmp_path, monkeypatch, shape, place, elements):
    from amssim.checkpoint.jobs import pieces

    array = weights(*shape, dtype="float32")
    array[place] = np.nan
    array[(-1,) * len(shape)] = np.inf
    name = "a+b.experts.weight"
    src = write_tensors(tmp_path / "a.safetensors", {name: array, "b.weight": weights(2, 3)})
    monkeypatch.setattr(pieces, "TASK_ELEMENTS", elements)
    with pytest.raises(InputError) as refused:
        quantize_checkpoint(src, tmp_path / "b.safetensors")
    pattern = name.replace("+", r"\+").replace(".", r"\.")
    assert str(refused.value) == (
        f"{src}: tensor {name!r} holds 2 NaN or Inf, the first at {list(place)}: mend it, or keep "
        f"the tensor by the rule '{pattern}=keep', or all such by --on-nan keep"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_advice_of_that_sentence_works(tmp_path):
    array = weights(4, 6, dtype="float32")
    array[0, 0] = np.nan
    tensors = {"a+b.weight": array, "c.weight": weights(4, 6)}
    src = write_tensors(tmp_path / "a.safetensors", tensors)
    quantize_checkpoint(src, tmp_path / "b.safetensors", rules=[r"a\+b\.weight=keep"])
    kept = open_checkpoint(tmp_path / "b.safetensors")["a+b.weight"]
    assert kept.tobytes() == array.tobytes()


def test_progress_is_told_of_every_weight_once(tmp_path):
    model, events = make_model(tmp_path / "model"), []
    quantize_checkpoint(model, tmp_path / "out", progress=lambda *event: events.append(event))
    told, before = Counter(), 0
    for done, _, name in events:
        told[name] += done - before
        before = done
    assert told == {t.name: t.weight_count for t in plan_quantize(model).summary.tensors}
    assert {total for _, total, _ in events} == {before}
