"""Packed files whose parts, metadata and config.json contradict each other."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

import amssim
from amssim import FormatError, MismatchError, UnsupportedError
from amssim.checkpoint import (
    dequantize_checkpoint,
    load_packed,
    open_checkpoint,
    save_packed,
    verify_checkpoint,
)
from checkpoint.builders import entry, raw_file, split
from checkpoint.forging import packed_of, rewrite


@pytest.fixture
def path(tmp_path):
    save_packed(packed_of(), tmp_path / "x.safetensors", name="up.weight")
    return tmp_path / "x.safetensors"


def drop(name):
    def change(header):
        raw = header.pop(name)["data_offsets"]
        for e in header.values():
            if "data_offsets" in e and e["data_offsets"][0] >= raw[1]:
                e["data_offsets"] = [o - (raw[1] - raw[0]) for o in e["data_offsets"]]

    return change


def without(path, name):
    header, data = split(path)
    start, stop = header[name]["data_offsets"]
    return data[:start] + data[stop:]


@pytest.mark.parametrize("part", ["packed", "scale", "shape"])
def test_15_a_part_that_is_missing(path, part):
    name = f"up.weight_{part}"
    data = without(path, name)
    rewrite(path, lambda m: m["crc32"].pop(name), drop(name), data)
    with pytest.raises(FormatError, match=f"packed tensor 'up.weight' has no '{name}'"):
        open_checkpoint(path)


def test_15_a_part_too_many(path):
    def add(header):
        end = max(e["data_offsets"][1] for n, e in header.items() if n != "__metadata__")
        header["up.weight_shared"] = entry("U8", [0], end, end)

    rewrite(path, lambda m: m["crc32"].update({"up.weight_shared": "00000000"}), add)
    with pytest.raises(FormatError, match=r"'up\.weight_shared' is neither kept nor part of"):
        open_checkpoint(path)


def test_a_tensor_that_the_metadata_does_not_list(path):
    rewrite(path, lambda m: m["crc32"].pop("up.weight_shape"))
    with pytest.raises(FormatError, match=r"stored and listed differ in 'up\.weight_shape'"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ([3, 700], r"is U16\[3, 34\], but fp4.25-e2m2 of shape \[3, 700\] takes U16\[3, 187\]"),
        ([4, 70], r"takes U16\[4, 34\]"),
        ([0, 70], "expected positive dimensions"),
        ([-3, 70], "expected positive dimensions"),
        ([2**62, 70], "expected positive dimensions"),
    ],
)
def test_16_a_shape_that_does_not_fit_the_payload(path, shape, sentence):
    _, data = split(path)
    rewrite(path, data=np.array(shape, "<i8").tobytes() + data[16:])
    with pytest.raises(FormatError, match=sentence):
        open_checkpoint(path)


def test_16_a_shape_that_was_altered(path):
    header, data = split(path)
    path.write_bytes(raw_file(header, data[:8] + b"\x41" + data[9:]))
    with pytest.raises(FormatError, match=r"'up\.weight_shape' is damaged: it reads \[3, 65\]"):
        load_packed(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scheme": "fp7.77-e9m9"}, "the scheme 'fp7.77-e9m9' is none that this version knows"),
        ({"scheme": "fp4.25"}, "the scheme 'fp4.25' is none"),
        ({"scheme": 5}, "the scheme 5 is none"),
        ({"search": "best"}, "rule that this version does not know"),
    ],
)
def test_17_a_scheme_or_rule_of_another_version(path, change, sentence):
    rewrite(path, lambda m: m["packed"]["up.weight"].update(change))
    with pytest.raises(UnsupportedError, match=sentence):
        open_checkpoint(path)


def test_17_a_newer_format(path):
    rewrite(path, lambda m: m.update(format=3, version="9.0"))
    with pytest.raises(UnsupportedError, match=r"written by amssim 9\.0 in format 3, but amssim"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.pop("version"), "must state version and format"),
        (lambda m: m.update(format="1"), "must state version and format"),
        (lambda m: m.pop("kept"), "must have exactly the fields"),
        (lambda m: m.update(more=1), "must have exactly the fields"),
        (lambda m: m.update(packed=[]), "packed must be an object"),
        (lambda m: m["crc32"].update({"up.weight_shape": "x"}), "eight hexadecimal digits"),
        (lambda m: m["kept"].update({"up.weight_shape": 1}), "reason a tensor was kept"),
        (lambda m: m["packed"].update({"up.weight": {}}), "must have the fields dtype"),
        (lambda m: m["packed"]["up.weight"].update(scale_block=0), "scale_block must be"),
        (lambda m: m["packed"]["up.weight"].update(scale_block=70), "less than its 70 columns"),
        (lambda m: m["packed"]["up.weight"].update(scale_block=32), r"takes F32\[3, 3\]"),
        (lambda m: m["packed"]["up.weight"].update(dtype=1), "dtype must be text"),
        (lambda m: m.pop("set"), "must have exactly the fields crc32, format, header_crc32, kept"),
        (lambda m: m.update(format=1), "must have exactly the fields crc32, format, header_crc32"),
        (lambda m: m.update(format=2.0), "must state version and format"),
        (lambda m: m.update(set=False), "set must be null, or a run of 32 and a digest of 64 he"),
        (lambda m: m.update(set={}), "set must be null, or a run"),
        (lambda m: m.update(set={"run": "0" * 32}), "set must be null, or a run"),
        (lambda m: m.update(set={"run": "0" * 32, "digest": 0}), "set must be null, or a run"),
        (lambda m: m.update(set={"run": "0" * 64, "digest": "0" * 64}), "set must be null, or"),
    ],
)
def test_metadata_that_is_damaged(path, change, sentence):
    rewrite(path, change)
    with pytest.raises(FormatError, match=sentence):
        open_checkpoint(path)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "1" * 5000])
@pytest.mark.parametrize("load", [load_packed, open_checkpoint, verify_checkpoint])
def test_17_a_number_that_is_none(path, number, load):
    header, data = split(path)
    text = header["__metadata__"]["amssim"].replace('"scale_block":null', f'"scale_block":{number}')
    header["__metadata__"]["amssim"] = text
    path.write_bytes(raw_file(header, data))
    with pytest.raises(FormatError, match=r"metadata 'amssim' (holds|is not JSON)"):
        load(path)


@pytest.mark.parametrize("text", ["[]", "{", "null"])
def test_metadata_that_is_no_object(path, text):
    header, data = split(path)
    header["__metadata__"]["amssim"] = text
    path.write_bytes(raw_file(header, data))
    with pytest.raises(FormatError, match="metadata 'amssim'"):
        open_checkpoint(path)


def test_8_unknown_fields_in_a_file_of_ours(path):
    rewrite(path, change_header=lambda h: h["up.weight_shape"].update(extra=1))
    with pytest.raises(FormatError, match="unknown fields: extra"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "dtype", "shape"),
    [
        ("packed", "I16", [3, 34]),
        ("packed", "U16", [34, 3]),
        ("scale", "I32", [3, 1]),
        ("scale", "F32", [1, 3]),
        ("shape", "U64", [2]),
        ("shape", "I64", [1, 2]),
    ],
)
def test_20_a_part_of_another_dtype_or_shape(path, name, dtype, shape):
    name = f"up.weight_{name}"
    rewrite(path, change_header=lambda h: h[name].update(dtype=dtype, shape=shape))
    with pytest.raises(FormatError, match=f"'{name}' is {dtype}"):
        open_checkpoint(path)


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1, 0])
def test_21_scales_that_are_none(path, scale):
    _, data = split(path)
    rewrite(path, data=data[:16] + np.float32(scale).tobytes() + data[20:])
    with pytest.raises(FormatError, match=r"packed tensor 'up\.weight': scales hold a value"):
        load_packed(path)


ELEMENT = {"exponent_bits": 2, "mantissa_bits": 2, "bias": 1, "k": 4}
STATED = {
    "quant_method": "ams",
    "format": "ams-packed",
    "version": amssim.__version__,
    "schemes": {"fp4.25-e2m2": ELEMENT},
    "default": {"scheme": "fp4.25-e2m2", "scale_block": None},
    "exceptions": {},
}
OLDER = {key: value for key, value in STATED.items() if key not in ("default", "exceptions")}


def with_element(**changes):
    return STATED | {"schemes": {"fp4.25-e2m2": ELEMENT | changes}}


@pytest.mark.parametrize("place", ["quantization_config", "compression_config"])
@pytest.mark.parametrize("stated", [STATED, OLDER])
def test_18_a_config_that_says_what_the_files_hold(tmp_path, path, stated, place):
    (tmp_path / "config.json").write_text(json.dumps({place: stated}))
    assert open_checkpoint(tmp_path)["up.weight"] == packed_of()


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        (None, "config.json has no quantization_config, the tensors have"),
        ("ams", "disagree in format: nothing and "),
        (with_element(k=3), 'disagree in schemes, fp4.25-e2m2, k: 3 and 4'),
        (with_element(k=4.0), 'disagree in schemes, fp4.25-e2m2, k: 4.0 and 4'),
        (with_element(bias=2), 'disagree in schemes, fp4.25-e2m2, bias: 2 and 1'),
        (with_element(bias=True), 'disagree in schemes, fp4.25-e2m2, bias: true and 1'),
        (with_element(extra=1), 'disagree in schemes, fp4.25-e2m2, extra: 1 and nothing'),
        (STATED | {"version": "9.9.9"}, f'disagree in version: "9.9.9" and "{amssim.__version__}"'),
        (STATED | {"version": None}, "disagree in version: null and "),
        (STATED | {"k": 4}, "disagree in k: 4 and nothing"),
        (STATED | {"quant_method": "AMS"}, 'disagree in quant_method: "AMS" and "ams"'),
        (STATED | {"schemes": {}}, "disagree in schemes, fp4.25-e2m2: nothing and "),
        (STATED | {"schemes": [1]}, "disagree in schemes: [1] and "),
        (STATED | {"default": None}, "disagree in default: null and "),
        (STATED | {"exceptions": {"a": None}}, "disagree in exceptions, a: null and nothing"),
        (
            STATED | {"default": {"scheme": "fp4.25-e2m2", "scale_block": 7.0}},
            "disagree in default, scale_block: 7.0 and null",
        ),
        ({k: v for k, v in STATED.items() if k != "exceptions"}, "disagree in exceptions: nothi"),
    ],
)  # fmt: skip
def test_18_a_config_that_says_something_else(tmp_path, path, stated, sentence):
    config = {} if stated is None else {"quantization_config": stated}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for read in (open_checkpoint, load_packed, verify_checkpoint):
        with pytest.raises(MismatchError) as refused:
            read(tmp_path)
        assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_18_a_long_difference_is_cut_short(tmp_path, path):
    stated = STATED | {"exceptions": {"a" * 5000: None}, "format": "x" * 10_000}
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": stated}))
    with pytest.raises(MismatchError) as refused:
        open_checkpoint(tmp_path)
    assert len(str(refused.value)) < 6000


@pytest.mark.parametrize(
    "config", ['{"architectures": ["\\ud800"]}', '{"a": {"b": [["\\udfff"]]}}']
)
def test_39_half_a_surrogate_pair_in_a_config(tmp_path, path, config):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(FormatError, match="holds text that is not Unicode"):
        open_checkpoint(tmp_path)


def test_a_config_of_ours_beside_files_without_metadata(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(raw_file({"a": entry("U8", [1], 0, 1)}, b"x"))
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "ams"}}')
    with pytest.raises(FormatError, match="nothing says how their tensors are packed"):
        open_checkpoint(tmp_path)


def test_a_checkpoint_without_tensors_is_no_crash(tmp_path, path):
    header, _ = split(path)
    manifest = json.loads(header["__metadata__"]["amssim"]) | {"packed": {}, "crc32": {}}
    path.write_bytes(raw_file({"__metadata__": {"format": "pt", "amssim": json.dumps(manifest)}}))
    rewrite(path)
    verify_checkpoint(path)
    plan = dequantize_checkpoint(path, tmp_path / "y.safetensors")
    assert plan.as_dict()["tensors"] == [] and load_file(tmp_path / "y.safetensors") == {}
