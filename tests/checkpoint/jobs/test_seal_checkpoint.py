"""Sealing what is there: older files, edited directories, damaged ones."""

import json
import shutil

import pytest

from amssim import (
    AmsError,
    MismatchError,
    OutputError,
    UnsupportedError,
    __version__,
)
from amssim.checkpoint import (
    inspect_checkpoint,
    open_checkpoint,
    quantize_checkpoint,
    save_packed,
    seal_checkpoint,
    verify_checkpoint,
)
from amssim.checkpoint.safetensors import staging
from checkpoint.builders import contents, make_model, split
from checkpoint.forging import packed_of, rewrite
from checkpoint.sealed_sets import CONFIG, INDEX, ONE, SEAL, TWO, seal_of, sealed_set

SCHEMES = ["q_proj=fp6-e3m2", "lm_head=fp5.33"]
UNSEALED = "unsealed set: nothing binds these files together (amssim seal)"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model and what quantising makes of it."""
    model = make_model(tmp_path_factory.mktemp("made") / "model")
    quantize_checkpoint(model, model.parent / "out", "fp4.25", rules=SCHEMES, scale_block=32)
    return model, model.parent / "out"


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made[1], tmp_path / "out")


def in_format_1(folder):
    """Make files as the first format had them, from any."""
    (folder / SEAL).unlink(missing_ok=True)
    for name in (ONE, TWO):
        rewrite(folder / name, lambda m: (m.pop("set"), m.update(format=1)))
    config = json.loads((folder / CONFIG).read_text())
    for key in ("default", "exceptions"):
        del config["quantization_config"][key]
    (folder / CONFIG).write_text(json.dumps(config))
    return folder


def test_files_of_the_first_format(made, out):
    in_format_1(out)
    assert verify_checkpoint(out, made[0]).coverage.sealed is False
    assert inspect_checkpoint(out).remarks == (UNSEALED,)
    before, data = contents(out), split(out / ONE)[1]
    done = seal_checkpoint(out)
    assert done.rewritten == (SEAL, ONE, TWO) and done.uncovered == ()
    assert split(out / ONE)[1] == data
    for name in (INDEX, CONFIG, "tokenizer.json"):
        assert contents(out)[name] == before[name]
    found = verify_checkpoint(out, made[0])
    assert found.coverage.sealed and found.packed == 4
    assert inspect_checkpoint(out).remarks == ()


@pytest.fixture
def sealed(tmp_path):
    return sealed_set(tmp_path / "set")


def test_what_is_sealed_stays_untouched(sealed):
    before = {path.name: (path.stat(), path.read_bytes()) for path in sealed.iterdir()}
    assert seal_checkpoint(sealed).rewritten == ()
    assert before == {path.name: (path.stat(), path.read_bytes()) for path in sealed.iterdir()}


def test_an_edited_config_is_sealed_anew_for_the_same_run(sealed):
    old = seal_of(sealed)
    config = json.loads((sealed / CONFIG).read_text()) | {"rope_theta": 5e5}
    (sealed / CONFIG).write_text(json.dumps(config))
    (sealed / "README.md").write_text("new")
    (sealed / "tokenizer.json").unlink()
    done = seal_checkpoint(sealed)
    assert done.rewritten == (SEAL, ONE, TWO)
    assert done.remarks == (
        "README.md is new in the set",
        "tokenizer.json is no longer in the set",
        "config.json is not as it was sealed before",
    )
    new = seal_of(sealed)
    assert {k: new[k] for k in ("run", "source", "options", "version")} == {
        k: old[k] for k in ("run", "source", "options", "version")
    }
    assert verify_checkpoint(sealed).coverage.sealed


def test_shards_of_several_runs_have_the_seal_of_none(sealed, tmp_path):
    other = sealed_set(tmp_path / "other", seed=1)
    shutil.copy(other / ONE, sealed / ONE)
    rewrite(sealed / ONE, lambda m: m["set"].update(run="1" * 32))
    done = seal_checkpoint(sealed)
    assert (done.seal.source, done.seal.options, done.seal.version) == ({}, {}, __version__)
    assert f"{ONE} is not as it was sealed before" in done.remarks
    verify_checkpoint(sealed)


def test_a_damaged_seal_is_replaced_and_this_is_said(sealed):
    (sealed / SEAL).write_text("{")
    (remark,) = seal_checkpoint(sealed).remarks
    assert remark.startswith("the seal that was there is replaced: ")
    verify_checkpoint(sealed)
    value = seal_of(sealed) | {"format": 2}
    (sealed / SEAL).write_text(json.dumps(value))
    with pytest.raises(UnsupportedError, match="in format 2"):
        seal_checkpoint(sealed)


@pytest.mark.parametrize("name", [ONE, TWO])
def test_damage_is_not_sealed(sealed, name):
    raw = bytearray((sealed / name).read_bytes())
    raw[-1] ^= 1
    (sealed / name).write_bytes(raw)
    before = contents(sealed)
    with pytest.raises(AmsError, match="is damaged"):
        seal_checkpoint(sealed)
    assert contents(sealed) == before


def test_what_cannot_be_sealed(sealed, tmp_path):
    save_packed(packed_of(), tmp_path / "x.safetensors")
    with pytest.raises(UnsupportedError, match="is one file, which its own checksums cover"):
        seal_checkpoint(tmp_path / "x.safetensors")
    with pytest.raises(AmsError, match="does not exist"):
        seal_checkpoint(tmp_path / "nothing")
    config = json.loads((sealed / CONFIG).read_text())
    config["quantization_config"]["version"] = "9.9.9"
    (sealed / CONFIG).write_text(json.dumps(config))
    with pytest.raises(MismatchError, match="disagree in version"):
        seal_checkpoint(sealed)


def test_a_seal_that_was_killed_while_it_published(sealed, monkeypatch):
    (sealed / "README.md").write_text("new")
    before = contents(sealed)

    class Killed(BaseException):
        pass

    def kill(*args):
        raise Killed

    publish = staging.publish_in_place
    calls = []

    def half(target, run, files, folder, directory, home):
        rename = type(directory).rename

        def once(self, name, *rest):
            calls.append(name)
            if name == TWO and self is directory:
                kill()
            return rename(self, name, *rest)

        monkeypatch.setattr(type(directory), "rename", once)
        publish(target, run, files, folder, directory, home)

    monkeypatch.setattr(staging, "publish_in_place", half)
    with pytest.raises(Killed):
        seal_checkpoint(sealed)
    monkeypatch.undo()
    assert calls and (sealed / "amssim.publishing.json").exists()
    with pytest.raises(MismatchError, match="is half published"):
        open_checkpoint(sealed)
    seal_checkpoint(sealed)
    assert verify_checkpoint(sealed).coverage.by_seal == (
        "README.md", CONFIG, INDEX, "tokenizer.json",
    )  # fmt: skip
    assert contents(sealed).keys() == before.keys()


def test_the_staged_files_are_read_back(sealed, monkeypatch):
    (sealed / "README.md").write_text("new")
    before = contents(sealed)
    write = staging.Staging.write

    def damage(self, name, content):
        raw = bytearray(b"".join(content))
        raw[-1] ^= 1
        write(self, name, [raw])

    monkeypatch.setattr(staging.Staging, "write", damage)
    with pytest.raises(AmsError, match="is damaged"):
        seal_checkpoint(sealed)
    assert contents(sealed) == before


def test_a_directory_that_cannot_be_written(sealed, monkeypatch):
    (sealed / "README.md").write_text("new")
    (sealed / ".amssim-partial").write_text("mine")
    before = contents(sealed)
    with pytest.raises(OutputError):
        seal_checkpoint(sealed)
    assert contents(sealed) == before


def test_progress_counts_every_byte_of_the_shards(sealed):
    seen = []
    seal_checkpoint(sealed, progress=lambda *event: seen.append(event))
    total = sum((sealed / name).stat().st_size for name in (ONE, TWO))
    assert seen[-1] == (total, total, TWO)
