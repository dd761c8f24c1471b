"""What will be done to every tensor and what it will take, decided from headers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from amssim._threads import thread_count
from amssim.checkpoint.jobs.memory import peak_bytes
from amssim.checkpoint.jobs.summary import Summary
from amssim.checkpoint.packed.manifest import Manifest
from amssim.checkpoint.packed.stored import LogicalTensor
from amssim.checkpoint.safetensors.header import Header, TensorInfo
from amssim.checkpoint.safetensors.shards import Checkpoint
from amssim.checkpoint.safetensors.writer import MetadataOf, file_size, place, plain_metadata
from amssim.errors import UnsupportedError


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

    ``source_sums`` are the checksums that the source states of its stored tensors, if it does.
    """

    source: Header
    steps: tuple[Step, ...]
    manifest: Manifest | None
    source_sums: Mapping[str, str] = field(default_factory=dict)

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

    Raises:
        UnsupportedError: two tensors would be stored under one name.
    """

    source: Checkpoint
    shards: tuple[ShardJob, ...]
    config: dict[str, Any] | None
    options: dict[str, Any] = field(default_factory=dict)
    threads: int | None = None

    def __post_init__(self) -> None:
        names = Counter(info.name for shard in self.shards for info in shard.tensors)
        clash = sorted(name for name, count in names.items() if count > 1)
        if clash:
            raise UnsupportedError(
                f"{self.source.path}: two tensors would be stored as {clash[0]!r}: keep one of "
                "them by a rule"
            )

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
            "files_copied": copied,
            "files_left_out": left_out,
            "remarks": list(self.source.remarks),
            **self.summary.as_dict(),
        }
