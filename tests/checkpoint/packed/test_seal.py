"""The seal as a record: one text for one value, and nothing else is read."""

import hashlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim import AmsError, FormatError, UnsupportedError
from amssim.checkpoint.packed.manifest import Manifest, SetId
from amssim.checkpoint.packed.manifest_checks import read_manifest
from amssim.checkpoint.packed.seal import Seal, SealedFile, parse_seal, run_of
from amssim.checkpoint.packed.stored import Packing, stored_specs
from amssim.checkpoint.safetensors.header import read_header
from amssim.checkpoint.safetensors.writer import header_bytes, place
from amssim.scheme import FP5_33

PATH = Path("amssim.seal.json")
TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
NAMES = TEXT.filter(lambda name: name.strip(".") and not {"/", "\0"} & {*name})
DIGEST = st.binary(min_size=32, max_size=32).map(bytes.hex)
SIZE = st.integers(0, 2**50)
FILES = st.one_of(
    st.builds(lambda size, content: SealedFile(size, content=content), SIZE, DIGEST),
    st.builds(lambda size, sha: SealedFile(size, sha256=sha), SIZE, DIGEST),
    st.builds(lambda size, sha, h: SealedFile(size, sha256=sha, header=h), SIZE, DIGEST, DIGEST),
)
OPTION = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
SEALS = st.builds(
    Seal,
    st.dictionaries(NAMES, FILES, max_size=3),
    st.dictionaries(TEXT, DIGEST, max_size=3),
    st.dictionaries(TEXT, OPTION.filter(lambda v: abs(v) < 1e300 if v.__class__ is float else 1)),
    TEXT,
)


@given(SEALS)
def test_what_is_encoded_is_read_back(seal):
    raw = seal.encode()
    assert parse_seal(raw, PATH) == seal
    assert seal.digest == hashlib.sha256(raw).hexdigest()
    job = {"version": seal.version, "source": seal.source, "options": seal.options}
    text = json.dumps(job, sort_keys=True, separators=(",", ":"))
    assert seal.run == hashlib.sha256(text.encode()).hexdigest()[:32] == seal.set_id.run


SEAL = Seal(
    {"a": SealedFile(3, content="0" * 64), "b": SealedFile(4, sha256="1" * 64)},
    {"a": "2" * 64},
    {"k": 3, "rules": ["x=keep"]},
    "0.1.0",
)


def test_every_flipped_bit_is_another_seal_or_none():
    raw = SEAL.encode()
    for position in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[position // 8] ^= 1 << position % 8
        try:
            assert parse_seal(bytes(flipped), PATH).digest != SEAL.digest
        except AmsError as error:
            assert "\n" not in str(error)


def test_the_run_depends_on_every_part_and_on_nothing_else():
    assert run_of("1", {"a": "b", "c": "d"}, {}) == run_of("1", {"c": "d", "a": "b"}, {})
    jobs = [("1", {}, {}), ("2", {}, {}), ("1", {"a": "b"}, {}), ("1", {}, {"a": "b"})]
    jobs += [("1", {}, {"k": 3}), ("1", {}, {"k": 3.0}), ("1", {}, {"k": True})]
    assert len({run_of(*job) for job in jobs}) == len(jobs)


def altered(**changes):
    value = json.loads(SEAL.encode()) | changes
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    ("raw", "kind", "sentence"),
    [
        (b"[]\n", FormatError, "must hold a JSON object"),
        (b"{}\n", FormatError, "must state format and version"),
        (altered(format=True), FormatError, "must state format and version"),
        (altered(format=1.0), FormatError, "must state format and version"),
        (altered(format=2, version="9"), UnsupportedError, "written by amssim 9 in format 2"),
        (altered(more=1), FormatError, "must have exactly the fields files, format"),
        (altered(files=[]), FormatError, "must be objects"),
        (altered(source={"a": 1}), FormatError, "source must map names to digests"),
        (altered(run="0" * 32), FormatError, "was altered"),
        (SEAL.encode()[:-1], FormatError, "was altered"),
        (SEAL.encode() + b"\n", FormatError, "was altered"),
        (altered(files={"a": {}}), FormatError, "file 'a' must have a size, and content or sha25"),
        (altered(files={"a": {"size": 1}}), FormatError, "must have a size, and content or"),
        (
            altered(files={"a": {"size": 1.0, "sha256": "0" * 64}}),
            FormatError,
            "size must be a whole number, found 1.0",
        ),
        (
            altered(files={"a": {"size": True, "sha256": "0" * 64}}),
            FormatError,
            "size must be a whole number, found True",
        ),
        (altered(files={"a": {"size": 1, "sha256": "0"}}), FormatError, "64 hexadecimal digits"),
        (altered(files={"a": {"size": 1, "sha256": None}}), FormatError, "64 hexadecimal digits"),
        (altered(options={"a": None}).replace(b"null", b"1e999"), FormatError, "amssim.seal.json"),
    ],
)
def test_a_record_that_is_refused(raw, kind, sentence):
    with pytest.raises(kind) as refused:
        parse_seal(raw, PATH)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


PACKING = Packing(FP5_33, None, "adaptive", "absmax", "BF16")
TENSORS = place(stored_specs("a", (4, 100), PACKING))


def test_a_header_of_a_placeholder_is_as_long_as_the_final_one(tmp_path):
    draw = random.Random(0)
    run, digest = (draw.randbytes(n).hex() for n in (16, 32))
    crcs = {info.name: draw.randrange(2**32) for info in TENSORS}
    early = Manifest({"a": PACKING}, set_id=SetId(run)).metadata(TENSORS)
    final = Manifest({"a": PACKING}, set_id=SetId(run, digest)).metadata(TENSORS, crcs)
    assert len(header_bytes(TENSORS, early)) == len(header_bytes(TENSORS, final))
    path = tmp_path / "a.safetensors"
    path.write_bytes(header_bytes(TENSORS, final) + bytes(TENSORS[-1].stop))
    found = read_manifest(read_header(path))
    assert found.set_id == SetId(run, digest) and found.metadata(TENSORS) == final
    assert found.checksums == {name: f"{crc:08x}" for name, crc in crcs.items()}


def test_the_content_digest_is_of_everything_but_the_set():
    crcs = {info.name: 7 for info in TENSORS}
    manifest = Manifest({"a": PACKING}, set_id=SetId("0" * 32))
    value = json.loads(manifest.metadata(TENSORS, crcs)["amssim"])
    del value["set"], value["header_crc32"]
    table = {info.name: [info.dtype, list(info.shape)] for info in TENSORS}
    text = json.dumps([value, table], sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert manifest.content_digest(TENSORS, crcs) == digest
    assert Manifest({"a": PACKING}).content_digest(TENSORS, crcs) == digest
    others = [
        manifest.content_digest(TENSORS, crcs | {"a_scale": 8}),
        manifest.content_digest(TENSORS[:-1], crcs),
        Manifest({"a": PACKING}, {"b": "x"}).content_digest(TENSORS, crcs),
        Manifest({"a": PACKING}, version="9").content_digest(TENSORS, crcs),
    ]
    assert len({digest, *others}) == 5
