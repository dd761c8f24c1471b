"""What will be done to every tensor and what it will take, decided from headers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from typing import Any, NamedTuple

from amssim import __version__
from amssim._threads import thread_count
from amssim.checkpoint.jobs.card import card
from amssim.checkpoint.jobs.memory import peak_bytes
from amssim.checkpoint.jobs.summary import Summary
from amssim.checkpoint.packed.digests import source_digests
from amssim.checkpoint.packed.manifest import Manifest
from amssim.checkpoint.packed.seal import Seal
from amssim.checkpoint.packed.set_check import check_digests
from amssim.checkpoint.packed.stored import LogicalTensor
from amssim.checkpoint.safetensors.header import Header, TensorInfo
from amssim.checkpoint.safetensors.limits import check_header_limits
from amssim.checkpoint.safetensors.shards import (
    CARD_NAME,
    CONFIG_NAME,
    INDEX_NAME,
    Checkpoint,
    Index,
    encode_config,
)
from amssim.checkpoint.safetensors.strict_json import canonical_json, parse_json
from amssim.checkpoint.safetensors.writer import (
    MetadataOf,
    file_size,
    header_bytes,
    place,
    plain_metadata,
)
from amssim.errors import FormatError, UnsupportedError


class Resumed(NamedTuple):
    """How much of a job was found finished: tasks of all tasks, files of all files."""

    tasks: int
    of_tasks: int
    files: int
    of_files: int

    def __str__(self) -> str:
        return (
            f"{self.files} of {self.of_files} files and {self.tasks} of {self.of_tasks} tasks "
            "were finished"
        )


@dataclass(frozen=True)
class Step:
    """One tensor as it is and as it will be stored."""

    before: LogicalTensor
    after: LogicalTensor

    @property
    def is_copy(self) -> bool:
        """Whether its bytes stay as they are."""
        return self.before.packing == self.after.packing


@dataclass(frozen=True)
class ShardJob:
    """One file: its source, the steps in name order, and its manifest if it is amssim's.

    ``source_sums`` are the checksums of the source's stored tensors that are to be checked.
    """

    source: Header
    steps: tuple[Step, ...]
    manifest: Manifest | None
    source_sums: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def tensors(self) -> list[TensorInfo]:
        """The stored tensors in their places."""
        specs = [spec for step in self.steps for spec in step.after.stored]
        return place(specs, [self.source.tensors[s.before.name] for s in self.steps if s.is_copy])

    @cached_property
    def _by_name(self) -> dict[str, Step]:
        return {step.before.name: step for step in self.steps}

    def step(self, name: str) -> Step:
        """Return the step of a tensor."""
        return self._by_name[name]

    @property
    def metadata(self) -> MetadataOf:
        """What makes the metadata of the file."""
        return partial(self.manifest.metadata, self.tensors) if self.manifest else plain_metadata

    @property
    def nbytes(self) -> int:
        """Exact size of the file."""
        return file_size(self.tensors, self.metadata)


@dataclass(frozen=True)
class Job:
    """A whole checkpoint. ``config`` is the new config.json, None where there is none.

    ``options`` are all choices that the result depends on, for people and for JSON; ``threads``
    how many are to work on it, None for every CPU.

    ``resumed`` says how much of a job that was done had been done before. ``seal`` is that of the
    source, which is compared with it when the job begins; None if there is none to compare.

    Raises:
        UnsupportedError: two tensors would be stored under one name, or a file could not be read.
    """

    source: Checkpoint
    shards: tuple[ShardJob, ...]
    config: dict[str, Any] | None
    options: dict[str, Any] = field(default_factory=dict)
    threads: int | None = None
    resumed: Resumed | None = None
    seal: Seal | None = None

    def __post_init__(self) -> None:
        names = Counter(info.name for shard in self.shards for info in shard.tensors)
        clash = sorted(name for name, count in names.items() if count > 1)
        if clash:
            raise UnsupportedError(
                f"{self.source.path}: two tensors would be stored as {clash[0]!r}: keep one of "
                "them by a rule"
            )
        for shard in self.shards:
            size = len(header_bytes(shard.tensors, shard.metadata({}))) - 8
            check_header_limits(shard.tensors, size, f"the new {shard.source.path.name}")
        self.check_documents()

    def check_documents(self) -> None:
        """Raise `UnsupportedError` if nobody could read the new index or config.json."""
        for name, content in self.documents.items():
            if name == CARD_NAME:
                continue
            try:
                parse_json(content, f"the new {name}", config=name == CONFIG_NAME)
            except FormatError as error:
                raise UnsupportedError(f"{self.source.path}: {error}") from None

    @cached_property
    def documents(self) -> dict[str, bytes]:
        """Content of the new index and config.json, where the source has them, and of the card."""
        files = {}
        if self.source.index:
            shard_of = {i.name: s.source.path.name for s in self.shards for i in s.tensors}
            total = sum(info.nbytes for shard in self.shards for info in shard.tensors)
            metadata = self.source.index.metadata | {"total_size": total}
            files[INDEX_NAME] = Index(shard_of, metadata).encode()
        if self.config is not None:
            files[CONFIG_NAME] = encode_config(self.config)
        if self.options.get("card") and self.source.is_directory:
            files[CARD_NAME] = card(self.options["card"], self.summary, self.options)
        return files

    @cached_property
    def source_digests(self) -> dict[str, str]:
        """What identifies the source, file by file; `MismatchError` if it is not as sealed."""
        digests = source_digests(self.source)
        if self.seal:
            check_digests(self.source, self.seal, digests)
        return digests

    @cached_property
    def record(self) -> dict[str, Any]:
        """Everything that the bytes of the result depend on, for JSON; ``run`` is its digest.

        ``path`` is where the source was found, and counts for nothing.
        """
        stamps = {name: f"{h.stamp.size}, {h.stamp.mtime_ns}" for name, h in self._headers()}
        value = {
            "version": __version__,
            "source": self.source_digests,
            "sizes_and_times": stamps,
            "options": self.options,
        }
        run = sha256(canonical_json(value).encode()).hexdigest()[:32]
        return value | {"run": run, "path": str(self.source.path.absolute())}

    @property
    def run(self) -> str:
        """Id of the job, by which unfinished work of it is known."""
        return str(self.record["run"])

    @property
    def is_sealed(self) -> bool:
        """Whether the result is a set of files that a seal binds together."""
        return self.source.is_directory and all(shard.manifest for shard in self.shards)

    def _headers(self) -> list[tuple[str, Header]]:
        return sorted(self.source.shards.items())

    def steps(self) -> Iterator[Step]:
        """Yield every step, shard by shard."""
        for shard in self.shards:
            yield from shard.steps

    @cached_property
    def summary(self) -> Summary:
        """Sizes, effective bits and coverage of the result."""
        return Summary.of(step.after for step in self.steps())

    @cached_property
    def output_bytes(self) -> int:
        """Exact size of the new safetensors files."""
        return sum(shard.nbytes for shard in self.shards)

    @property
    def peak_bytes(self) -> int:
        """Bound on the memory of the job above that of an idle interpreter."""
        pairs = ((step.before, step.after) for step in self.steps())
        return peak_bytes(pairs, thread_count(self.threads))

    def as_dict(self) -> dict[str, Any]:
        """Return the job for JSON."""
        copied, left_out = self.source.other_files()
        return {
            "source": str(self.source.path),
            "output_bytes": self.output_bytes,
            "peak_memory_bytes": self.peak_bytes,
            "resumed": self.resumed and self.resumed._asdict(),
            "files_copied": copied,
            "files_left_out": left_out,
            "remarks": list(self.source.remarks),
            **self.summary.as_dict(),
        }
