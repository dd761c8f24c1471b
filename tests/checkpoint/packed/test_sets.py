"""A sealed set is whole, unmixed and unaltered, or no reader takes it."""

import json
import os
import shutil

import pytest

from amssim import AmsError, MismatchError, UnsupportedError
from amssim.checkpoint import (
    FloatCheckpoint,
    dequantize_checkpoint,
    inspect_checkpoint,
    load_packed,
    open_checkpoint,
    quantize_checkpoint,
    seal_checkpoint,
    verify_checkpoint,
)
from checkpoint.builders import contents, make_model
from checkpoint.forging import rewrite
from checkpoint.sealed_sets import CONFIG, INDEX, ONE, SEAL, TWO, seal_of, sealed_set


def dequantize(path):
    return dequantize_checkpoint(path, path.with_name("plain"))


READERS = [
    open_checkpoint,
    FloatCheckpoint,
    inspect_checkpoint,
    verify_checkpoint,
    lambda path: load_packed(path, name="a.weight"),
    dequantize,
]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return sealed_set(tmp_path_factory.mktemp("original") / "set")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another set, whose files have the same names, tensors and schemes."""
    return sealed_set(tmp_path_factory.mktemp("other") / "set", seed=1)


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "set")


def copy_shard(folder, other):
    shutil.copy(other / ONE, folder / ONE)


def copy_all_but_a_shard(folder, other):
    for name in (INDEX, CONFIG, SEAL, TWO):
        shutil.copy(other / name, folder / name)


def append_space(name):
    def change(folder, other):
        (folder / name).write_bytes((folder / name).read_bytes() + b" ")

    return change


def remove(name):
    return lambda folder, other: (folder / name).unlink()


def edit_json(name, change):
    def edit(folder, other):
        value = json.loads((folder / name).read_text())
        change(value)
        (folder / name).write_text(json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n")

    return edit


def forge_manifest(change):
    return lambda folder, other: rewrite(folder / ONE, change)


OLD_FORMAT = {"format": 1, "version": "0.1.0"}
FAULTS = {
    "a shard of another run": copy_shard,
    "all but a shard of another run": copy_all_but_a_shard,
    "a seal of another run": lambda folder, other: shutil.copy(other / SEAL, folder / SEAL),
    "no seal": remove(SEAL),
    "no config": remove(CONFIG),
    "no index": remove(INDEX),
    "no shard": remove(TWO),
    "no index and no second shard": lambda folder, other: (
        (folder / INDEX).unlink(),
        (folder / TWO).unlink(),
    ),
    "a config with a space": append_space(CONFIG),
    "an index with a space": append_space(INDEX),
    "a seal with a space": append_space(SEAL),
    "another model type": edit_json(CONFIG, lambda c: c.update(model_type="y")),
    "another total size": edit_json(INDEX, lambda i: i["metadata"].update(total_size=1)),
    "another run in the seal": edit_json(SEAL, lambda s: s.update(run="0" * 32)),
    "another source in the seal": edit_json(SEAL, lambda s: s["source"].update(x="0" * 64)),
    "one file less in the seal": edit_json(SEAL, lambda s: s["files"].pop("tokenizer.json")),
    "another size in the seal": edit_json(SEAL, lambda s: s["files"][ONE].update(size=1)),
    "a manifest of no set": forge_manifest(lambda m: m.update(set=None)),
    "a manifest of another run": forge_manifest(lambda m: m["set"].update(run="0" * 32)),
    "a manifest of another digest": forge_manifest(lambda m: m["set"].update(digest="0" * 64)),
    "a manifest of format 1": forge_manifest(lambda m: (m.pop("set"), m.update(OLD_FORMAT))),
    "another version": forge_manifest(lambda m: m.update(version="9.9.9")),
}


@pytest.mark.parametrize("read", READERS, ids=str)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_set_that_is_not_the_sealed_one(folder, other, fault, read):
    read(folder)
    shutil.rmtree(folder.with_name("plain"), ignore_errors=True)
    FAULTS[fault](folder, other)
    before = contents(folder)
    with pytest.raises(AmsError) as refused:
        read(folder)
    assert "\n" not in str(refused.value) and contents(folder) == before
    assert not folder.with_name("plain").exists()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("a shard of another run", f"{ONE} holds other tensors than those that are sealed: copy"),
        ("a seal of another run", f"{ONE} holds other tensors than those that are sealed"),
        ("no seal", f"{ONE} belongs to a sealed set, but {SEAL} is missing: copy it again from wh"),
        ("no config", f"{CONFIG} is sealed and missing: copy it again"),
        ("a config with a space", f"{CONFIG} was altered: its bytes are not those that are sealed"),
        ("an index with a space", f"{INDEX} was altered: its bytes are not those that are sealed"),
        ("a seal with a space", f"{SEAL} was altered: it is not written as amssim writes it"),
        ("one file less in the seal", f"{ONE} belongs to another set: "),
        ("a manifest of no set", "are sealed: copy it again"),
        ("a manifest of another digest", f"{ONE} belongs to another set: {'0' * 64}, expected "),
        ("another size in the seal", "bytes, but 1 are sealed: copy it again"),
    ],
)
def test_what_is_said_and_what_to_do(folder, other, fault, sentence):
    FAULTS[fault](folder, other)
    with pytest.raises(AmsError) as refused:
        open_checkpoint(folder)
    assert sentence in str(refused.value)


def test_a_shard_too_many(folder):
    shutil.copy(folder / ONE, folder / "more.safetensors")
    index = json.loads((folder / INDEX).read_text())
    names = [name for name, shard in index["weight_map"].items() if shard == ONE]
    index["weight_map"] |= dict.fromkeys(names, "more.safetensors")
    (folder / INDEX).write_text(json.dumps(index))
    (folder / ONE).unlink()
    with pytest.raises(MismatchError, match=f"{ONE} is sealed as a shard and is none of the chec"):
        open_checkpoint(folder)
    edit_json(SEAL, lambda s: s["files"].pop(ONE))(folder, None)
    with pytest.raises(MismatchError, match=r"safetensors (is a shard that|belongs to another)"):
        open_checkpoint(folder)


def test_what_verify_says_of_files_that_the_seal_does_not_cover(folder):
    for name in ("notes.txt", ".hidden", "extra.safetensors"):
        shutil.copy(folder / ONE, folder / name)
    (folder / "original").mkdir()
    found = verify_checkpoint(folder).coverage
    assert found.sealed and found.by_checksums == (ONE, TWO)
    assert found.by_seal == (CONFIG, INDEX, "tokenizer.json")
    assert found.uncovered == (".hidden", "extra.safetensors", "notes.txt", "original/")


@pytest.mark.parametrize("change", [append_space("tokenizer.json"), remove("tokenizer.json")])
def test_copied_files_are_read_by_what_verifies_or_copies_them(folder, change):
    change(folder, None)
    for read in READERS:
        if read in (verify_checkpoint, dequantize):
            with pytest.raises(MismatchError, match=r"zer\.json (was alt|is sealed and miss)"):
                read(folder)
        else:
            read(folder)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    dequantize_checkpoint(folder, folder.with_name("plain"), verify=False)


def test_one_file_of_a_set_is_read_alone_with_a_remark(folder):
    for name in (ONE, TWO):
        *_, remark = inspect_checkpoint(folder / name).remarks
        assert remark == (
            f"{name} belongs to a sealed set and is opened alone: the seal is not looked at"
        )
        found = verify_checkpoint(folder / name).coverage
        assert (found.sealed, found.by_checksums, found.uncovered) == (False, (name,), ())


def test_links_to_the_files_of_a_set_are_that_set(folder):
    linked = folder.with_name("linked")
    linked.mkdir()
    for path in folder.iterdir():
        (linked / path.name).symlink_to(path)
    assert verify_checkpoint(linked).coverage.sealed


def test_a_half_published_set(folder):
    (folder / "amssim.publishing.json").write_text("{}")
    for read in READERS:
        with pytest.raises(MismatchError, match="is half published"):
            read(folder)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "a\0b"])
def test_a_seal_that_names_files_elsewhere(folder, name):
    entry = {"size": 1, "sha256": "0" * 64}
    edit_json(SEAL, lambda s: s["files"].update({name: entry}))(folder, None)
    with pytest.raises(AmsError, match="is no file name"):
        open_checkpoint(folder)


def test_every_bit_of_every_file_is_covered(folder):
    """One bit of every byte here; all of them with HYPOTHESIS_PROFILE=fuzz."""
    every = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
    (folder / "notes.txt").write_text("x")
    assert verify_checkpoint(folder).coverage.uncovered == ("notes.txt",)
    for path in sorted(folder.iterdir()):
        raw = path.read_bytes()
        for position in range(len(raw)):
            for bit in range(8) if every else [position % 8]:
                flipped = bytearray(raw)
                flipped[position] ^= 1 << bit
                path.write_bytes(flipped)
                if path.name == "notes.txt":
                    verify_checkpoint(folder)
                    continue
                with pytest.raises(AmsError) as found:
                    verify_checkpoint(folder)
                assert "\n" not in str(found.value)
        path.write_bytes(raw)
    verify_checkpoint(folder)


def test_a_sealed_set_of_plain_floats(tmp_path):
    model = make_model(tmp_path / "model")
    with pytest.raises(UnsupportedError, match="holds no tensors that amssim packed"):
        verify_checkpoint(model)
    before = contents(model)
    assert seal_checkpoint(model).rewritten == (SEAL,)
    assert contents(model) == before | {SEAL: (model / SEAL).read_bytes()}
    found = verify_checkpoint(model)
    assert found.coverage.uncovered == () and len(found.coverage.by_seal) == 5
    assert (found.packed, found.coverage.by_checksums) == (0, ())
    with pytest.raises(UnsupportedError, match="holds no tensors that amssim packed"):
        verify_checkpoint(model, model)
    quantize_checkpoint(model, tmp_path / "out")
    (model / CONFIG).write_bytes(before[CONFIG] + b" ")
    with pytest.raises(MismatchError, match=r"config\.json was altered"):
        quantize_checkpoint(model, tmp_path / "other")
    (model / CONFIG).write_bytes(before[CONFIG])
    (model / "tokenizer.json").write_bytes(before["tokenizer.json"] + b" ")
    with pytest.raises(MismatchError, match=r"tokenizer\.json was altered"):
        quantize_checkpoint(model, tmp_path / "other")
    (model / "tokenizer.json").write_bytes(before["tokenizer.json"])
    for name in sorted(before):
        raw = bytearray(before[name])
        raw[-1] ^= 1
        (model / name).write_bytes(raw)
        with pytest.raises(AmsError):
            verify_checkpoint(model)
        (model / name).write_bytes(before[name])
    names = [e["header"] for e in seal_of(model)["files"].values() if "header" in e]
    assert len(names) == 2
    header = bytearray(before[ONE])
    header[header.index(b"q_proj")] ^= 1
    (model / ONE).write_bytes(header)
    with pytest.raises(AmsError):
        open_checkpoint(model)
