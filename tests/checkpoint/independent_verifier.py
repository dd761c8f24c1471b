"""Verifies a sealed set by docs/FORMAT.md, section 6, alone: json, zlib and hashlib."""

import hashlib
import json
import zlib
from pathlib import Path


def canonical(value) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def check(holds: bool, what: object) -> None:
    if not holds:
        raise ValueError(what)


def verify(folder: Path) -> None:
    """Raise ValueError unless every file that the seal names is as it was sealed."""
    check(not (folder / "amssim.publishing.json").exists(), "half published")
    text = (folder / "amssim.seal.json").read_bytes()
    seal = json.loads(text)
    check(canonical(seal) + b"\n" == text, "the seal was altered")
    job = {key: seal[key] for key in ("version", "source", "options")}
    check(seal["run"] == sha256(canonical(job))[:32], "another run")
    member = {"run": seal["run"], "digest": sha256(text)}
    for name, entry in seal["files"].items():
        raw = (folder / name).read_bytes()
        check(len(raw) == entry["size"], f"size of {name}")
        if "sha256" in entry:
            check(sha256(raw) == entry["sha256"], name)
        else:
            check(verify_shard(raw, member) == entry["content"], f"content of {name}")


def verify_shard(raw: bytes, member: dict) -> str:
    """Check the checksums of a shard and return its content digest."""
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    text = json.dumps(header, separators=(",", ":")).encode()
    check(text + b" " * (-len(text) % 8) == raw[8:start], "the header's form")
    metadata = header.pop("__metadata__")
    manifest = json.loads(metadata["amssim"])
    check(metadata == {"format": "pt", "amssim": canonical(manifest).decode()}, "the metadata")
    table = {name: [entry["dtype"], entry["shape"]] for name, entry in header.items()}
    crc = manifest.pop("header_crc32")
    check(crc == f"{zlib.crc32(canonical([manifest, table])):08x}", "the header's checksum")
    check(manifest.pop("set") == member, "another set")
    check(manifest["crc32"].keys() == header.keys(), "checksums of other tensors")
    end = 0
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        check(first == end, f"the place of {name}")
        data, end = raw[start + first : start + last], last
        check(manifest["crc32"][name] == f"{zlib.crc32(data):08x}", f"the checksum of {name}")
    return sha256(canonical([manifest, table]))
