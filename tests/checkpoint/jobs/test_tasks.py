"""Tasks of a job: how they cut it, and that anybody may do them, in any order and again."""

import os
import pickle
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import InputError, MismatchError, OutputError
from amssim.checkpoint import (
    dequantize_checkpoint,
    plan_dequantize,
    plan_quantize,
    quantize_checkpoint,
)
from amssim.checkpoint.jobs import pieces
from amssim.checkpoint.jobs.assembly import Assembly, Staged, do_here
from amssim.checkpoint.jobs.buffers import Buffers
from amssim.checkpoint.jobs.pieces import ranges
from amssim.checkpoint.jobs.plan import plan_again
from amssim.checkpoint.jobs.tasks import do_task, open_shard, split, target_pieces
from amssim.checkpoint.packed.stored import LogicalTensor
from amssim.checkpoint.safetensors.writer import ShardFile
from checkpoint.builders import contents, make_model, weights, write_tensors
from checkpoint.builders import split as split_file

MODEL_SHARDS = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("source") / "model")


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(pieces, "TASK_ELEMENTS", 100)
    monkeypatch.setattr(pieces, "TASK_BYTES", 90)


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=3).map(tuple),
    st.integers(1, 200),
    st.booleans(),
)
def test_ranges_cover_a_tensor_once_in_order(shape, limit, as_bytes):
    tensor = LogicalTensor("x", shape, "BF16", 2 * int(np.prod(shape)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "TASK_ELEMENTS", limit)
        patch.setattr(pieces, "TASK_BYTES", limit)
        found = list(ranges(tensor, as_bytes=as_bytes))
    whole = tensor.nbytes if as_bytes else int(np.prod(shape[:-1]))
    assert [start for start, _ in found] == [0, *(stop for _, stop in found[:-1])]
    assert found[-1][1] == whole and all(start < stop for start, stop in found)
    unit = 1 if as_bytes else shape[-1]
    assert all((stop - start) * unit <= max(limit, unit) for start, stop in found)
    if not as_bytes:  # whole matrices, or rows of one
        matrix = shape[-2]
        for start, stop in found:
            assert start % matrix == stop % matrix == 0 or start // matrix == (stop - 1) // matrix


def test_tasks_are_numbered_in_order_and_write_every_byte_once(model, little):
    job = plan_quantize(model)
    tasks = split(job)
    assert [task.number for task in tasks] == list(range(len(tasks)))
    assert [task.shard for task in tasks] == sorted(task.shard for task in tasks)
    for number, shard in enumerate(job.shards):
        written = [p for t in tasks if t.shard == number for p in target_pieces(shard, t)]
        for info in shard.tensors:
            own = sorted((p.start, p.stop) for p in written if p.name == info.name)
            assert own[0][0] == 0 and own[-1][1] == info.nbytes
            assert all(a[1] == b[0] for a, b in pairwise(own))


def test_in_any_order_twice_and_elsewhere(model, little, tmp_path):
    quantize_checkpoint(model, tmp_path / "expected")
    job, lines = plan_quantize(model), []
    folder = tmp_path / "staged"
    folder.mkdir()

    def create(name, size):
        return os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o666)

    assembly = Assembly(job, Staged(create, lambda name: folder / name, lines.append), str)
    for shard in assembly.shards:
        assert shard.file.size == shard.job.nbytes
    again = pickle.loads(pickle.dumps((job.shards, assembly.tasks)))
    chance, due = random.Random(2), []
    for task in chance.sample(again[1], len(again[1])) + chance.sample(again[1], 9):
        shard = again[0][task.shard]
        with open_shard(shard, folder / shard.source.path.name) as (reader, file):
            due += assembly.add(do_task(shard, task, reader, file, Buffers()))
    do_here(due)
    assert not assembly.todo and len(lines) == len(again[1]) + 9
    for name in MODEL_SHARDS:  # what they hold but for the digest of the set
        header, data = split_file(folder / name)
        expected, same = split_file(tmp_path / "expected" / name)
        del header["__metadata__"], expected["__metadata__"]
        assert header == expected and data == same


def test_a_job_is_planned_again_from_its_options(model, tmp_path):
    job = plan_quantize(model, "fp4.25", scale_block=16, rules=["up_proj=fp6-e2m3"], scale="mse")
    assert plan_again(model, job.options).run == job.run
    assert plan_quantize(model, "fp4.25").run != job.run
    quantize_checkpoint(model, tmp_path / "q")
    back = plan_dequantize(tmp_path / "q", "float16")
    assert plan_again(tmp_path / "q", back.options).run == back.run


def test_of_several_errors_the_first_tensor_is_named_whoever_is_faster(tmp_path, little):
    bad = weights(40, 10)
    bad[39, 9] = np.nan
    tensors = {f"{i}.weight": bad if i >= 3 else weights(40, 10) for i in range(9)}
    src = write_tensors(tmp_path / "a.safetensors", tensors)
    for threads in (1, 2, 5):
        with pytest.raises(InputError, match=r"'3\.weight' holds 1 NaN or Inf, the first at \[39"):
            quantize_checkpoint(src, tmp_path / "b.safetensors", threads=threads)
        assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_what_reads_back_otherwise_is_not_published(model, tmp_path, monkeypatch):
    write = ShardFile.write

    def faulty(self, name, start, data):
        raw = bytearray(data)
        if name == "lm_head.weight":
            raw[7] ^= 1
        write(self, name, start, bytes(raw))

    monkeypatch.setattr(ShardFile, "write", faulty)
    with pytest.raises(OutputError, match=r"'lm_head\.weight' reads back with checksum"):
        quantize_checkpoint(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unfinished_files_that_somebody_moves(model, tmp_path):
    def move(*_):
        for staging in tmp_path.glob(".amssim-*"):
            staging.rename(tmp_path / "moved")

    with pytest.raises(OutputError, match=r"does not exist: is another program at work there\?"):
        quantize_checkpoint(model, tmp_path / "out", threads=1, progress=move)
    assert [p.name for p in tmp_path.iterdir()] == ["moved"]
    assert (tmp_path / "moved" / "files").is_dir()


@pytest.mark.parametrize("part", ["_packed", "kept"])
def test_dequantizing_compares_checksums_unless_told_not_to(model, tmp_path, part):
    quantize_checkpoint(model, tmp_path / "q")
    path = tmp_path / "q" / MODEL_SHARDS[0]
    header, _ = split_file(path)
    name = next(n for n in header if n.endswith(part if part != "kept" else "layernorm.weight"))
    start = len(path.read_bytes()) - len(split_file(path)[1])
    raw = bytearray(path.read_bytes())
    raw[start + header[name]["data_offsets"][0]] ^= 1
    path.write_bytes(raw)
    with pytest.raises(MismatchError, match=f"tensor '{name}' is damaged: its checksum is"):
        dequantize_checkpoint(tmp_path / "q", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    dequantize_checkpoint(tmp_path / "q", tmp_path / "out", verify=False)
    assert len(contents(tmp_path / "out")) == 5
