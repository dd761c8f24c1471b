"""Results that were changed: every reader sees it, whatever was changed and however little."""

import json
import shutil

import numpy as np
import pytest

from amssim import PackedTensor, quantize
from amssim.checkpoint import (
    dequantize_checkpoint,
    inspect_checkpoint,
    open_checkpoint,
    verify_checkpoint,
)
from amssim.errors import AmsError
from checkpoint.builders import INDEX, split
from checkpoint.forging import rewrite
from hostile.world import ONE, TWO, World, change_json, data_place, flip

SEAL = "amssim.seal.json"
WEIGHT = "model.layers.0.up.weight"
KEPT = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A result, and one of the same model with another scheme."""
    world = World(tmp_path_factory.mktemp("made"))
    return world.quantize(), world.quantize("--scheme", "fp4.25", dst="other")


@pytest.fixture
def result(world, made):
    shutil.copytree(made[0], world.out)
    return world.out


def at(name, part, bit=0):
    """Turn over a bit in the data of a stored tensor."""
    return lambda out, other: flip(out / name, data_place(out / name, part), bit)


def gone(*names):
    return lambda out, other: [(out / name).unlink() for name in names]


def of_other(*names):
    return lambda out, other: [shutil.copy(other / name, out / name) for name in names]


def quantization(**changes):
    def change(out, other):
        change_json(out / "config.json", lambda c: c["quantization_config"].update(changes))

    return change


def swapped_names(out, other):
    """Two tensors of one shape and dtype change places: only the header differs."""
    raw = (out / TWO).read_bytes()
    a, b = b"model.layers.1.experts", b"model.layers.1.expertz"
    assert raw.count(a) > 2
    (out / TWO).write_bytes(raw.replace(a, b))


def appended(name, text=b" "):
    return lambda out, other: (out / name).write_bytes((out / name).read_bytes() + text)


def set_json(name, change):
    return lambda out, other: change_json(out / name, change)


#: What is done to the result (out, other).
CHANGES = {
    "50 words": at(ONE, f"{WEIGHT}_packed"),
    "50 scales": at(ONE, f"{WEIGHT}_scale", 3),
    "50 shape": at(ONE, f"{WEIGHT}_shape"),
    "50 a kept tensor": at(ONE, KEPT),
    "50 a scalar": at(TWO, "model.layers.1.steps"),
    "50 the header": lambda out, other: flip(out / ONE, 100),
    "50 the header's length": lambda out, other: flip(out / ONE, 0),
    "50 the last byte": lambda out, other: flip(out / TWO, -1),
    "50 config": appended("config.json"),
    "50 tokenizer": appended("tokenizer.json"),
    "50 index metadata": set_json(INDEX, lambda i: i["metadata"].update(total_size=1)),
    "50 names": swapped_names,
    "40 a shard and the index are gone": gone(TWO, INDEX),
    "40 a shard is gone": gone(ONE),
    "40 the index is gone": gone(INDEX),
    "40 the seal is gone": gone(SEAL),
    "40 config is gone": gone("config.json"),
    "40 tokenizer is gone": gone("tokenizer.json"),
    "18 one shard of another run": of_other(ONE),
    "18 all shards of another run": of_other(ONE, TWO),
    "18 config of another run": of_other("config.json"),
    "18 the seal of another run": of_other(SEAL),
    "18 config version": quantization(version="9.9.9"),
    "18 config k": quantization(k=4),
    "18 config k a fraction": quantization(k=3.0),
    "18 config bias": quantization(bias=True),
    "18 config scheme": quantization(scheme="fp4.25-e2m2"),
    "50 the seal": lambda out, other: flip(out / SEAL, 20),
    "40 half published": lambda out, other: (out / "amssim.publishing.json").write_text("{}"),
    "40 a shard cut off": lambda out, other: (out / ONE).write_bytes((out / ONE).read_bytes()[:-1]),
    "40 an empty shard": lambda out, other: (out / TWO).write_bytes(b""),
}


@pytest.mark.parametrize("case", CHANGES)
def test_every_change_is_found(world, result, made, case):
    CHANGES[case](result, made[1])
    verified = world.amssim("verify", "out")
    assert verified.code in (1, 3), verified
    world.fails(verified.code, "", "verify", "out")


CHECKED = [case for case in CHANGES if case[3:] in (
    "words", "scales", "shape", "a kept tensor", "names", "one shard of another run",
    "a shard and the index are gone", "a shard cut off", "half published", "the header",
)]  # fmt: skip


@pytest.mark.parametrize("case", CHECKED)
def test_what_decodes_checks_as_well(world, result, made, case):
    CHANGES[case](result, made[1])
    back = world.amssim("dequantize", "out", "back")
    assert back.code in (1, 3) and "Traceback" not in back.err
    assert not (world.folder / "back").exists()
    assert not list(world.folder.glob(".amssim*"))
    with pytest.raises(AmsError):
        read = open_checkpoint(result)
        for name in list(read):
            np.asarray(read[name].dequantize() if hasattr(read[name], "dequantize") else read[name])


def manifest(**changes):
    return lambda path: rewrite(path, lambda m: m.update(changes))


def packing(**changes):
    return lambda path: rewrite(path, lambda m: m["packed"]["weight"].update(changes))


def without(part):
    def change(path):
        rewrite(path, change_header=lambda h: h.pop(f"weight_{part}"))

    return change


def scale(value):
    def change(path):
        header, data = split(path)
        first, last = header["weight_scale"]["data_offsets"]
        scales = np.frombuffer(data[first:last], "<f4").copy()
        scales[0] = value
        rewrite(path, data=data[:first] + scales.tobytes() + data[last:])

    return change


def words(change_words):
    def change(path):
        header, data = split(path)
        first, last = header["weight_packed"]["data_offsets"]
        found = np.frombuffer(data[first:last], "<u2").copy()
        change_words(found)
        rewrite(path, data=data[:first] + found.tobytes() + data[last:])

    return change


def retyped(part, dtype):
    return lambda path: rewrite(
        path, change_header=lambda h: h[f"weight_{part}"].update(dtype=dtype)
    )


def raw_manifest(text):
    def change(path):
        raw = path.read_bytes()
        (length,) = np.frombuffer(raw[:8], "<u8")
        header = json.loads(raw[8 : 8 + int(length)])
        header["__metadata__"]["amssim"] = text
        encoded = json.dumps(header).encode()
        path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + raw[8 + int(length) :])

    return change


#: Files whose checksums fit, and which are wrong all the same.
FORGED = {
    "15 no scale": without("scale"),
    "15 no shape": without("shape"),
    "15 no words": without("packed"),
    "17 unknown scheme": packing(scheme="fp99"),
    "17 scheme no text": packing(scheme=3),
    "17 newer format": manifest(format=99),
    "17 format no number": manifest(format="1"),
    "17 no version": lambda path: rewrite(path, lambda m: m.pop("version")),
    "17 scale_block 0": packing(scale_block=0),
    "17 scale_block 1e999": raw_manifest('{"packed": {"weight": {"scale_block": 1e999}}}'),
    "17 scale_block huge": packing(scale_block=2**70),
    "17 manifest no object": raw_manifest("[]"),
    "17 manifest no JSON": raw_manifest("{"),
    "17 manifest nested": raw_manifest('{"a":' * 10_000),
    "17 manifest empty": raw_manifest(""),
    "17 surrogate": raw_manifest('{"\\ud800": 1}'),
    "20 words signed": retyped("packed", "I16"),
    "20 scales of another dtype": retyped("scale", "I32"),
    "21 scale NaN": scale(np.nan),
    "21 scale infinite": scale(np.inf),
    "21 scale negative": scale(-1),
    "21 scale 0": scale(0),
    "21 scale subnormal": scale(1e-40),
    "19 padding": words(lambda w: w.__setitem__(-1, w[-1] | 0xFF00)),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_file_is_refused(world, case):
    path = world.folder / "w.safetensors"
    rows = np.random.default_rng(2).standard_normal((3, 13)).astype(np.float32)
    quantize(rows, "fp5.33").save(path)
    FORGED[case](path)
    result = world.amssim("verify", "w.safetensors")
    assert result.code in (1, 3), result
    world.fails(result.code, "w.safetensors", "verify", "w.safetensors")
    if case[:2] in ("15", "17", "20"):
        world.fails(3, "w.safetensors", "inspect", "w.safetensors")
        with pytest.raises(AmsError, match=r"w\.safetensors"):
            PackedTensor.load(path)
        with pytest.raises(AmsError, match=r"w\.safetensors"):
            inspect_checkpoint(path)
        with pytest.raises(AmsError, match=r"w\.safetensors"):
            dequantize_checkpoint(path, world.folder / "back.safetensors")
        with pytest.raises(AmsError, match=r"w\.safetensors"):
            verify_checkpoint(path)
