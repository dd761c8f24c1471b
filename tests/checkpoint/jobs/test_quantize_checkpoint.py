"""Whole checkpoints: what is written, that it does not depend on chance, and bad weights."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import amssim
from amssim import (
    MismatchError,
    OutputError,
    ResourceError,
    reference,
)
from amssim.checkpoint import (
    dequantize_checkpoint,
    inspect_checkpoint,
    open_checkpoint,
    plan_quantize,
    quantize_checkpoint,
)
from amssim.checkpoint.jobs import pieces
from amssim.checkpoint.jobs.execute import execute
from checkpoint import independent_reader
from checkpoint.builders import (
    INDEX,
    contents,
    entry,
    make_model,
    model_tensors,
    raw_file,
    weights,
    write_tensors,
)

QUANTIZED = [
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.1.mlp.experts.down_proj",
]
ALL = {name: array for shard in model_tensors().values() for name, array in shard.items()}


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


def by_the_specification(name, scheme_name, **options):
    matrix = ALL[name].astype(np.float32).reshape(-1, ALL[name].shape[-1])
    s = amssim.scheme(scheme_name)
    words, scales = reference.quantize(matrix, s, **options)
    columns, block = matrix.shape[1], options.get("scale_block")
    restored = reference.dequantize(words, scales, s, columns, block)
    return words, scales, restored.reshape(ALL[name].shape)


@pytest.mark.parametrize("name", ["fp5.33", "fp4.25"])
def test_58_an_independent_reader_finds_the_weights_of_the_specification(model, tmp_path, name):
    quantize_checkpoint(model, tmp_path / "out", name, scale_block=32)
    found = independent_reader.read(tmp_path / "out")
    assert found.keys() == ALL.keys()
    for tensor, array in ALL.items():
        if tensor in QUANTIZED:
            block = 32 if array.shape[-1] > 32 else None
            expected = by_the_specification(tensor, name, scale_block=block)[2]
            assert np.array_equal(found[tensor], expected), tensor
        else:
            assert found[tensor].tobytes() == array.tobytes(), tensor


def test_the_layout_of_the_output(model, tmp_path):
    out = tmp_path / "out"
    quantize_checkpoint(model, out)
    expected = [p.name for p in model.iterdir()] + ["amssim.seal.json"]
    assert sorted(p.name for p in out.iterdir()) == sorted(expected)
    assert (out / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()
    index = json.loads((out / INDEX).read_text())
    stored = {}
    for shard in sorted(set(index["weight_map"].values())):
        with safe_open(out / shard, "np") as file:
            stored |= dict.fromkeys(file.keys(), shard)
            assert file.metadata()["format"] == "pt"
    assert index["weight_map"] == stored
    assert "model.layers.0.mlp.up_proj.weight_packed" in stored
    sizes = [a.nbytes for shard in set(stored.values()) for a in load_file(out / shard).values()]
    assert index["metadata"]["total_size"] == sum(sizes)
    config = json.loads((out / "config.json").read_text())
    assert "import amssim.torch" in config.pop("transformers_weights")
    assert config.pop("quantization_config") == {
        "quant_method": "ams",
        "format": "ams-packed",
        "version": amssim.__version__,
        "schemes": {
            "fp5.33-e2m3": {"exponent_bits": 2, "mantissa_bits": 3, "bias": 1, "k": 3}
        },
        "default": {"scheme": "fp5.33-e2m3", "scale_block": None},
        "exceptions": {
            "lm_head.weight": None,
            "model.embed_tokens.weight": None,
            "model.layers.1.mlp.gate.weight": None,
        },
    }  # fmt: skip
    assert config == json.loads((model / "config.json").read_text())


def test_what_the_plan_says_is_what_is_written(model, tmp_path):
    plan = plan_quantize(model, "fp4.25")
    assert not (tmp_path / "out").exists()
    done = quantize_checkpoint(model, tmp_path / "out", "fp4.25")
    assert done.as_dict() == plan.as_dict()
    written = sum(p.stat().st_size for p in (tmp_path / "out").glob("*.safetensors"))
    assert plan.output_bytes == written
    summary = plan.summary
    assert [c.name for c in summary.packed.tensors] == QUANTIZED
    weights_in = {name: ALL[name].size for name in QUANTIZED}
    assert summary.coverage * sum(a.size for a in ALL.values()) == sum(weights_in.values())
    packed = [v for n, v in open_checkpoint(tmp_path / "out").items() if n in QUANTIZED]
    bits = sum(8 * p.nbytes for p in packed)
    assert summary.packed.effective_bits * sum(weights_in.values()) == bits
    assert {c.name: c.reason for c in summary.tensors if not c.packing} == {
        "model.embed_tokens.weight": "embedding",
        "model.layers.0.input_layernorm.weight": "1-D",
        "model.layers.1.mlp.gate.weight": "router",
        "model.layers.1.mlp.up_proj.bias": "1-D",
        "model.layers.1.steps": "0-D",
        "lm_head.weight": "output head",
    }


def test_dry_runs_read_headers_only(tmp_path):
    """A tensor of a terabyte, in a file that takes no space."""
    rows, columns = 2**19, 2**20
    header = raw_file({"x.weight": entry("BF16", [rows, columns], 0, 2 * rows * columns)})
    path = tmp_path / "a.safetensors"
    path.write_bytes(header)
    os.truncate(path, len(header) + 2 * rows * columns)
    plan = plan_quantize(path)
    assert plan.summary.total.weight_count == rows * columns
    assert plan.output_bytes > rows * columns * 2 // 3
    assert plan.peak_bytes < 10**9


def test_41_a_disk_without_the_space(model, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ResourceError, match=r"not enough space: \d+ bytes are needed, 1000 are"):
        quantize_checkpoint(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rules_reach_the_output(model, tmp_path):
    rules = ["experts=fp6-e2m3", r"layers\.0\.=keep", "lm_head=fp4.25"]
    quantize_checkpoint(model, tmp_path / "out", rules=rules)
    found = inspect_checkpoint(tmp_path / "out").summary.tensors
    assert {c.name: c.packing.scheme.name for c in found if c.packing} == {
        "model.layers.1.mlp.experts.down_proj": "fp6-e2m3",
        "lm_head.weight": "fp4.25-e2m2",
    }
    reasons = {c.name: c.reason for c in found}
    assert reasons["model.layers.0.mlp.up_proj.weight"] == r"rule layers\.0\.=keep"
    schemes = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    assert sorted(schemes["schemes"]) == ["fp4.25-e2m2", "fp6-e2m3"]


def test_open_checkpoint_is_a_mapping_of_arrays_and_packed_tensors(model, tmp_path):
    quantize_checkpoint(model, tmp_path / "out", "fp4.25", scale="mse", search="replace")
    found = open_checkpoint(tmp_path / "out")
    assert list(found) == sorted(ALL) and len(found) == 9 and "x" not in found
    for name, array in ALL.items():
        if name in QUANTIZED:
            words, scales, _ = by_the_specification(name, "fp4.25", scale="mse", search="replace")
            assert np.array_equal(found[name].words, words)
            assert np.array_equal(found[name].scales, scales)
        else:
            assert found[name].dtype == array.dtype and found[name].tobytes() == array.tobytes()
    plain = open_checkpoint(model)
    assert all(plain[name].tobytes() == array.tobytes() for name, array in ALL.items())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_dequantized_checkpoints_are_plain(model, tmp_path, dtype):
    quantize_checkpoint(model, tmp_path / "out")
    dequantize_checkpoint(tmp_path / "out", tmp_path / "back", dtype)
    found = {}
    for shard in (tmp_path / "back").glob("*.safetensors"):
        found |= load_file(shard)
        with safe_open(shard, "np") as file:
            assert file.metadata() == {"format": "pt"}
    assert found.keys() == ALL.keys()
    for name, array in ALL.items():
        if name in QUANTIZED:
            restored = by_the_specification(name, "fp5.33")[2].astype(dtype)
            assert found[name].dtype == restored.dtype
            assert found[name].tobytes() == restored.tobytes(), name
        else:
            assert found[name].tobytes() == array.tobytes(), name
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config == json.loads((model / "config.json").read_text())
    index = json.loads((tmp_path / "back" / INDEX).read_text())
    assert index["weight_map"] == json.loads((model / INDEX).read_text())["weight_map"]


def test_one_file_becomes_one_file(tmp_path):
    src = write_tensors(tmp_path / "a.safetensors", {"x.weight": weights(4, 10, dtype="float16")})
    quantize_checkpoint(src, tmp_path / "new" / "b.safetensors")
    dequantize_checkpoint(tmp_path / "new" / "b.safetensors", tmp_path / "c.safetensors", "float32")
    assert load_file(tmp_path / "c.safetensors")["x.weight"].shape == (4, 10)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["b.safetensors"]


def test_46_bytes_do_not_depend_on_threads_hash_seed_or_blocks(model, tmp_path, monkeypatch):
    quantize_checkpoint(model, tmp_path / "one", threads=1)
    monkeypatch.setattr(pieces, "TASK_ELEMENTS", 100)
    quantize_checkpoint(model, tmp_path / "two", threads=2)
    code = "import sys, amssim; amssim.quantize_checkpoint(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(model), str(tmp_path / "three")]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")


def test_37_overwriting_replaces_what_amssim_wrote_and_nothing_else(model, tmp_path):
    out = tmp_path / "out"
    quantize_checkpoint(model, out, "fp5.33")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        quantize_checkpoint(model, out, "fp4.25")
    quantize_checkpoint(model, out, "fp4.25", overwrite=True)
    quantize_checkpoint(model, tmp_path / "fresh", "fp4.25")
    assert contents(out) == contents(tmp_path / "fresh") | {"notes.txt": b"mine"}


def test_other_forms_of_the_weights_are_not_copied(model, tmp_path):
    for name in ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.gguf", ".hidden"):
        (model / name).write_text("x")
    (model / "folder").mkdir()
    os.mkfifo(model / "pipe")
    plan = quantize_checkpoint(model, tmp_path / "out")
    assert plan.as_dict()["files_copied"] == ["tokenizer.json"]
    assert len(plan.as_dict()["files_left_out"]) == 6
    assert len(contents(tmp_path / "out")) == 6


def test_43_a_source_that_changes_while_it_is_read(model, tmp_path):
    shard = model / "model-00001-of-00002.safetensors"

    def touch(done, total, name):
        os.utime(shard, ns=(1, 1))

    with pytest.raises(MismatchError, match="changed while it was read"):
        quantize_checkpoint(model, tmp_path / "out", progress=touch)
    assert not (tmp_path / "out").exists()


def test_43_a_copied_file_that_changes_before_it_is_copied(model, tmp_path):
    job = plan_quantize(model)
    assert "tokenizer.json" in job.source_digests
    (model / "tokenizer.json").write_text("another")
    with pytest.raises(MismatchError, match=r"tokenizer\.json changed while it was read"):
        execute(job, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_40_an_interrupt_leaves_nothing(model, tmp_path):
    def stop(done, total, name):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize_checkpoint(model, tmp_path / "out", progress=stop)
    assert not (tmp_path / "out").exists()


def test_progress_ends_with_everything(model, tmp_path):
    seen = []
    quantize_checkpoint(model, tmp_path / "out", progress=lambda *event: seen.append(event))
    total = sum(a.size for a in ALL.values())
    assert seen[-1][:2] == (total, total) and {name for _, _, name in seen} == ALL.keys()


def test_40_45_everything_is_on_the_disk_before_the_directory_has_its_name(
    model, tmp_path, monkeypatch
):
    events = []
    fsync, rename = os.fsync, os.rename

    def synced(handle):
        events.append(("sync", Path(f"/proc/self/fd/{handle}").readlink().name))
        fsync(handle)

    def renamed(source, target, **folders):
        events.append(("name", target))
        rename(source, target, **folders)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    before = os.umask(0o027)
    try:
        quantize_checkpoint(model, tmp_path / "out")
    finally:
        os.umask(before)
    files = {p.name for p in (tmp_path / "out").iterdir()}
    named = events.index(("name", "out"))
    assert {name for kind, name in events[:named] if kind == "sync"} >= files | {"files"}
    assert events[named:] == [("name", "out"), ("sync", tmp_path.name)]
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "out").iterdir()} == {0o640}
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750
