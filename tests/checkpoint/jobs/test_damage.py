"""A flip in any part of a file: verification names the part, and the tensor where it is one's."""

import re
import shutil

import pytest

from amssim import AmsError, FormatError, MismatchError
from amssim.checkpoint import dequantize_checkpoint, open_checkpoint, quantize_checkpoint
from amssim.checkpoint import verify_checkpoint as verify
from checkpoint.builders import INDEX, make_model, split

SHARD = "model-00002-of-00002.safetensors"
EXPERTS = "model.layers.1.mlp.experts.down_proj"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    model = make_model(tmp_path_factory.mktemp("damage") / "model")
    quantize_checkpoint(model, model.parent / "packed", "fp4.25", scale_block=16)
    return model.parent / "packed"


@pytest.fixture
def damaged(packed, tmp_path):
    return shutil.copytree(packed, tmp_path / "damaged")


def flip(path, position, bit=0):
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1 << bit
    path.write_bytes(raw)


def data_start(path) -> int:
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize(
    "name",
    [f"{EXPERTS}_packed", f"{EXPERTS}_scale", "lm_head.weight", "model.layers.1.mlp.up_proj.bias",
     "model.layers.1.mlp.gate.weight", "model.layers.1.steps"],
)  # fmt: skip
def test_a_flip_in_the_data_names_the_tensor(damaged, name, where):
    header, _ = split(damaged / SHARD)
    first, last = header[name]["data_offsets"]
    offset = {"first": first, "middle": (first + last) // 2, "last": last - 1}[where]
    flip(damaged / SHARD, data_start(damaged / SHARD) + offset, bit=offset % 8)
    with pytest.raises(MismatchError) as refused:
        verify(damaged)
    assert re.fullmatch(
        rf"{re.escape(str(damaged / SHARD))}: tensor '{re.escape(name)}' is damaged: its checksum "
        r"is [0-9a-f]{8}, expected [0-9a-f]{8}",
        str(refused.value),
    )


def test_a_flip_in_the_stored_shape_is_seen_by_every_reader(damaged):
    header, _ = split(damaged / SHARD)
    first, _ = header[f"{EXPERTS}_shape"]["data_offsets"]
    flip(damaged / SHARD, data_start(damaged / SHARD) + first)
    for read in (verify, open_checkpoint):
        with pytest.raises(FormatError, match=rf"'{re.escape(EXPERTS)}_shape' is damaged: it read"):
            read(damaged)


def test_a_flip_in_any_byte_of_a_header_is_an_error_of_every_reader(damaged):
    path = damaged / SHARD
    whole = path.read_bytes()
    for position in range(0, data_start(path), 13):
        path.write_bytes(whole)
        flip(path, position, bit=position % 8)
        with pytest.raises(AmsError) as refused:
            open_checkpoint(damaged)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["packed", "kept", "crc32", "version"])
def test_a_changed_word_of_the_manifest_is_an_altered_header(damaged, key):
    path = damaged / SHARD
    raw = path.read_bytes()
    at = raw.index(rb"\"%b\":" % key.encode()) + len(key) + 6
    changed = raw[:at] + raw[at:].replace(b"0", b"1", 1)
    path.write_bytes(changed)
    with pytest.raises(FormatError, match=r"the header was altered: its checksum is \w{8}, exp"):
        verify(damaged)


@pytest.mark.parametrize("name", [INDEX, "config.json", SHARD])
def test_a_file_that_is_gone(damaged, name):
    (damaged / name).unlink()
    kind = MismatchError if name == "config.json" else FormatError
    with pytest.raises(
        kind, match="config.json is sealed and missing" if kind is MismatchError else INDEX
    ):
        verify(damaged)


def test_shards_that_were_exchanged(damaged):
    one, two = damaged / "model-00001-of-00002.safetensors", damaged / SHARD
    raw = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(raw)
    with pytest.raises(FormatError, match="which does not hold it"):
        verify(damaged)


def test_a_scale_that_no_packed_tensor_has_is_refused_by_decoders(packed, tmp_path):
    """Decoders do not read checksums; what they cannot decode they name."""
    damaged = shutil.copytree(packed, tmp_path / "damaged")
    header, _ = split(damaged / SHARD)
    first, _ = header[f"{EXPERTS}_scale"]["data_offsets"]
    flip(damaged / SHARD, data_start(damaged / SHARD) + first + 3, bit=7)  # a negative scale
    sentence = rf"packed tensor '{re.escape(EXPERTS)}': scales hold a value that is not finite and"
    with pytest.raises(FormatError, match=sentence):
        dequantize_checkpoint(damaged, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
