"""What is fed with changed bytes, and what must come of it: equal data, or an error of amssim's."""

from __future__ import annotations

import json
import pickle
import shutil
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from safetensors import deserialize

from amssim import AmsError, PackedTensor
from amssim.checkpoint import open_checkpoint, quantize_checkpoint
from amssim.checkpoint.packed.manifest import KEY, header_crc
from amssim.checkpoint.packed.manifest_checks import read_manifest
from amssim.checkpoint.packed.seal import SEAL_NAME, parse_seal
from amssim.checkpoint.safetensors.descriptor import OpenFile, Stamp
from amssim.checkpoint.safetensors.header import TensorInfo, header_of
from checkpoint.builders import INDEX, make_model, raw_file, split, weights, write_tensors
from fuzz.mutations import change_bytes, change_value, encode
from fuzz.staged import job_file, journal, json_change, progress_lines

PATH = Path("x.safetensors")


class Wrong(Exception):
    """Changed bytes passed, and gave something else."""


class MemoryFile(OpenFile):
    """Bytes that are read as a file is."""

    def __init__(self, raw: bytes):
        self.path, self.follow_links, self.raw = PATH, True, raw
        self._descriptor, self.stamp = -1, Stamp(len(raw), 0, 0, 0)

    def _read_some(self, start: int, stop: int) -> bytes:
        return self.raw[start:stop]


@dataclass(frozen=True)
class Target:
    """``change`` makes bytes out of a generator; ``check`` takes them, or raises `AmsError`.

    Whatever else `check` raises is a fault. ``share`` is how often it is chosen.
    """

    name: str
    share: int
    change: Callable[[Random], bytes]
    check: Callable[[bytes], None]

    def once(self, rng: Random) -> str:
        """Change and check once; return the class of the error, or that it passed."""
        raw = self.change(rng)
        try:
            self.check(raw)
        except AmsError as error:
            if "\n" in str(error):
                raise Wrong(f"an error of several lines: {error}") from None
            return type(error).__name__
        except BaseException as error:
            error.raw = raw  # type: ignore[attr-defined]
            raise
        return "passed"


def targets(folder: Path) -> list[Target]:
    """Return all targets; they work in ``folder``, which lies in memory at best."""
    single = _packed_file(folder)
    sealed = make_model(folder / "model")
    quantize_checkpoint(sealed, folder / "set", "fp4.25", scale_block=16, threads=1)
    home = folder / "home"
    home.mkdir()
    return [
        Target("progress lines", 20, *progress_lines()),
        Target("job file", 5, *job_file(home)),
        Target("journal", 5, *journal(home)),
        Target("header of a plain file", 60, _plain_change(), _check_plain),
        Target("header of a packed file", 20, *_own_header(single.read_bytes())),
        Target("manifest with a fitting sum", 4, _own_manifest(single), _check_manifest),
        Target("packed file", 3, *_whole_file(single)),
        Target("packed file with a fitting sum", 2, *_summed_file(single)),
        Target("seal", 60, *_seal((folder / "set" / SEAL_NAME).read_bytes())),
        Target("file of a set", 1, *_set(folder / "set")),
        Target("index of a plain model", 4, *_described(sealed, INDEX)),
        Target("config.json without manifests", 1, *_described(_bare(folder), "config.json")),
    ]


PLAIN = {
    "__metadata__": {"format": "pt"},
    "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "U8", "shape": [4], "data_offsets": [24, 28]},
    "s": {"dtype": "I64", "shape": [], "data_offsets": [28, 36]},
}
DATA = bytes(range(36))
# What the library's error message lists; of other dtypes we copy the bytes.
KNOWN = {"BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "I16",
         "F8_E4M3FNUZ", "F8_E5M2FNUZ", "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64",
         "I64", "U64"}  # fmt: skip


def _plain_change() -> Callable[[Random], bytes]:
    valid = raw_file(PLAIN, DATA)

    def change(rng: Random) -> bytes:
        if rng.random() < 0.5:
            return change_bytes(valid, rng)
        return raw_file(encode(change_value(copy(PLAIN), rng), rng), DATA)

    return change


def _check_plain(raw: bytes) -> None:
    """The library may be looser, never stricter, and sees the same tensors."""
    header = header_of(MemoryFile(raw))
    if {info.dtype for info in header.tensors.values()} <= KNOWN:
        theirs = dict(deserialize(raw))
        ours = {
            name: (list(info.shape), raw[slice(*header.data_range(name))])
            for name, info in header.tensors.items()
        }
        if ours != {name: (t["shape"], bytes(t["data"])) for name, t in theirs.items()}:
            raise Wrong("the library sees other tensors")


def _packed_file(folder: Path) -> Path:
    tensors = {"a.weight": weights(3, 70), "n.weight": weights(5, seed=1),
               "experts.b": weights(2, 3, 33, seed=2, dtype="float16")}  # fmt: skip
    source, path = folder / "source.safetensors", folder / "packed.safetensors"
    options = {"rules": ["experts=fp6-e3m2"], "scale_block": 16, "threads": 1}
    quantize_checkpoint(write_tensors(source, tensors), path, "fp4.25", **options)
    return path


def _own_header(valid: bytes) -> tuple:
    before = header_of(MemoryFile(valid))
    manifest, table = read_manifest(before), _table(before)

    def check(raw: bytes) -> None:
        header = header_of(MemoryFile(raw))
        found = read_manifest(header)  # None: a file of another program, as far as one can tell
        if found is not None and (found, _table(header)) != (manifest, table):
            raise Wrong("another manifest or table passed")

    return _header_change(valid), check


def _table(header) -> dict:
    return {name: (info.dtype, info.shape) for name, info in header.tensors.items()}


def _header_change(valid: bytes) -> Callable[[Random], bytes]:
    start = 8 + int.from_bytes(valid[:8], "little")
    text, data = valid[8:start], valid[start:]

    def change(rng: Random) -> bytes:
        kind = rng.random()
        if kind < 0.3:
            return change_bytes(valid, rng)
        if kind < 0.6:
            return raw_file(change_bytes(text, rng), data)
        header = json.loads(text)
        if kind < 0.8:
            return raw_file(encode(change_value(header, rng), rng), data)
        manifest = json.loads(header["__metadata__"][KEY])
        header["__metadata__"][KEY] = encode(change_value(manifest, rng), rng).decode(
            errors="surrogatepass"
        )
        return raw_file(header, data)

    return change


def _own_manifest(path: Path) -> Callable[[Random], bytes]:
    """Change manifest, table or data, and make the checksums of both fit."""
    header, data = split(path)

    def change(rng: Random) -> bytes:
        new, bytes_ = copy(header), data
        manifest = json.loads(new["__metadata__"][KEY])
        kind = rng.random()
        if kind < 0.6:
            manifest = change_value(manifest, rng)
        elif kind < 0.8:
            table = {name: entry for name, entry in new.items() if name != "__metadata__"}
            new = {"__metadata__": new["__metadata__"]} | _as_dict(change_value(table, rng))
        else:
            bytes_ = change_bytes(data, rng)[: len(data)].ljust(len(data), b"\0")
            sums = {n: zlib.crc32(bytes_[slice(*e["data_offsets"])]) for n, e in header.items()
                    if n != "__metadata__"}  # fmt: skip
            manifest["crc32"] = {name: f"{crc:08x}" for name, crc in sums.items()}
        new["__metadata__"] = {"format": "pt", KEY: _summed(manifest, new)}
        return raw_file(json.dumps(new).encode("utf-8", "surrogatepass"), bytes_)

    return change


def _as_dict(value: object) -> dict:
    return value if isinstance(value, dict) else {"a": value}


def _summed(manifest: object, header: dict) -> str:
    if isinstance(manifest, dict):
        with suppress(Exception):  # a table that no checksum can be made of
            infos = [
                TensorInfo(name, e["dtype"], tuple(e["shape"]), *e["data_offsets"])
                for name, e in header.items()
                if name != "__metadata__"
            ]
            manifest["header_crc32"] = header_crc(manifest, infos)
    return json.dumps(manifest)


def _check_manifest(raw: bytes) -> None:
    read_manifest(header_of(MemoryFile(raw)))


def _whole_file(path: Path) -> tuple:
    valid, before, target = path.read_bytes(), _everything(path), path.with_name("w.safetensors")

    def check(raw: bytes) -> None:
        target.write_bytes(raw)
        if _everything(target) != before and read_manifest(header_of(MemoryFile(raw))):
            raise Wrong("other tensors passed")

    return _header_change(valid), check


def _summed_file(path: Path) -> tuple:
    target = path.with_name("s.safetensors")

    def check(raw: bytes) -> None:
        target.write_bytes(raw)
        _everything(target)

    return _own_manifest(path), check


def _everything(path: Path) -> dict[str, object]:
    """Every tensor by name, so that equal ones compare equal."""
    return {name: _plain_value(tensor) for name, tensor in open_checkpoint(path).items()}


def _plain_value(tensor: np.ndarray | PackedTensor) -> object:
    if isinstance(tensor, PackedTensor):
        return tensor.scheme, tensor.shape, tensor.words.tobytes(), tensor.scales.tobytes()
    return tensor.dtype, tensor.shape, tensor.tobytes()


def _seal(valid: bytes) -> tuple:
    value = json.loads(valid)

    def change(rng: Random) -> bytes:
        if rng.random() < 0.5:
            return change_bytes(valid, rng)
        new = change_value(copy(value), rng)
        if rng.random() < 0.7:  # written as amssim writes it
            return (json.dumps(new, sort_keys=True, separators=(",", ":")) + "\n").encode()
        return encode(new, rng)

    def check(raw: bytes) -> None:
        if parse_seal(raw, PATH).encode() != raw:
            raise Wrong("a seal was read that is another when written")

    return change, check


def _set(folder: Path) -> tuple:
    """Any file that readers of a sealed set look at."""
    before = _everything(folder)
    names = sorted(p.name for p in folder.iterdir() if p.name != "tokenizer.json")
    valid = {name: (folder / name).read_bytes() for name in names}
    changes = {
        name: _header_change(raw) if name.endswith(".safetensors") else json_change(raw)
        for name, raw in valid.items()
    }
    now = [names[0]]

    def change(rng: Random) -> bytes:
        (folder / now[0]).write_bytes(valid[now[0]])
        now[0] = rng.choice(names)
        return changes[now[0]](rng)

    def check(raw: bytes) -> None:
        (folder / now[0]).write_bytes(raw)
        if _everything(folder) != before:
            raise Wrong(f"other tensors passed: {now[0]}")

    return change, check


def _described(folder: Path, name: str) -> tuple:
    """A file that says what the others mean, where nothing seals it."""
    path = folder / name
    return json_change(path.read_bytes()), lambda raw: (path.write_bytes(raw), _everything(folder))


def _bare(folder: Path) -> Path:
    """A packed model as other tools save it: the tensors and config.json, no manifests."""
    bare = shutil.copytree(folder / "set", folder / "bare")
    (bare / SEAL_NAME).unlink(missing_ok=True)
    for path in bare.glob("*.safetensors"):
        header, data = split(path)
        header["__metadata__"] = {"format": "pt"}
        path.write_bytes(raw_file(header, data))
    return bare


def copy(value: object) -> object:
    """Return JSON as a value of its own."""
    return pickle.loads(pickle.dumps(value))
