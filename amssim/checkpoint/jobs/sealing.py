"""The seal of what a job has made: it is written, and its digest put into every header."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from amssim.checkpoint.jobs.assembly import Assembly
from amssim.checkpoint.jobs.shard import Shard
from amssim.checkpoint.packed.digests import sealed_file
from amssim.checkpoint.packed.manifest import Manifest
from amssim.checkpoint.packed.seal import SEAL_NAME, Seal, SealedFile
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.writer import ShardFile
from amssim.errors import InputError


def seal_set(assembly: Assembly, staging: Staging) -> None:
    """Seal the staged files; those of the shards are complete but for the digest of the set."""
    job, shards = assembly.job, {shard.path.name: shard for shard in assembly.shards}
    files = {name: _sealed(shard) for name, shard in shards.items()}
    for name in staging.target.names:
        if name not in files and name != SEAL_NAME:
            files[name] = sealed_file(staging.directory / name)
    seal = Seal(files, job.source_digests, job.options)
    staging.write(SEAL_NAME, [seal.encode()])
    for name, shard in shards.items():
        own = shard.job
        with ShardFile(staging.reopen(name), shard.path, own.tensors, own.metadata) as file:
            sealed = replace(_manifest(shard), set_id=seal.set_id)
            file.write_header(shard.crcs, partial(sealed.metadata, own.tensors))


def _sealed(shard: Shard) -> SealedFile:
    content = _manifest(shard).content_digest(shard.job.tensors, shard.crcs)
    return SealedFile(shard.job.nbytes, content=content)


def _manifest(shard: Shard) -> Manifest:
    if shard.job.manifest is None:
        raise InputError(f"{shard.path} has no manifest to seal")
    return shard.job.manifest
