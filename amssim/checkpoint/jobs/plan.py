"""What will be done to every tensor and what it will take, known from headers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from amssim.checkpoint.jobs.other_files import other_files
from amssim.checkpoint.jobs.summary import Summary
from amssim.checkpoint.packed.contents import Content
from amssim.checkpoint.packed.manifest import Manifest
from amssim.checkpoint.packed.stored import rows_and_columns
from amssim.checkpoint.safetensors.files import CHUNK_BYTES
from amssim.checkpoint.safetensors.header import DTYPE_BITS, Header, TensorInfo
from amssim.checkpoint.safetensors.reader import BLOCK_WEIGHTS, RESIDENT_BYTES
from amssim.checkpoint.safetensors.source import Checkpoint
from amssim.checkpoint.safetensors.writer import ShardWriter, place
from amssim.errors import UnsupportedError

#: What threads and the allocator hold besides the blocks; 2 to 4 MB measured.
_SLACK_BYTES = 1 << 22


@dataclass(frozen=True)
class Step:
    """One tensor as it is and as it will be stored."""

    before: Content
    after: Content

    @property
    def is_copy(self) -> bool:
        """Whether its bytes stay as they are."""
        return self.before.packing == self.after.packing

    @property
    def working_bytes(self) -> int:
        """Memory for one block: stored as it was read, as float32, and packed."""
        if self.is_copy:
            return CHUNK_BYTES
        rows, columns = rows_and_columns(self.before.shape)
        block = min(max(1, BLOCK_WEIGHTS // columns), rows) * columns
        plain = self.before if self.after.packing else self.after
        element = DTYPE_BITS[plain.dtype] // 8
        return block * (element + (4 if element < 4 else 0) + 2)


@dataclass(frozen=True)
class ShardPlan:
    """One file: its source, the steps in name order, and its manifest if it is amssim's."""

    source: Header
    steps: tuple[Step, ...]
    manifest: Manifest | None

    @cached_property
    def tensors(self) -> list[TensorInfo]:
        """The stored tensors in their places."""
        specs = [spec for step in self.steps for spec in step.after.stored]
        return place(specs, [self.source.tensors[s.before.name] for s in self.steps if s.is_copy])

    @property
    def nbytes(self) -> int:
        """Exact size of the file."""
        return ShardWriter.size(self.tensors, self.manifest)


@dataclass(frozen=True)
class Plan:
    """The whole job. ``config`` is the new config.json, None where there is none.

    Raises:
        UnsupportedError: two tensors would be stored under one name.
    """

    source: Checkpoint
    shards: tuple[ShardPlan, ...]
    config: dict | None

    def __post_init__(self):
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
    def resident_bytes(self) -> int:
        """Bytes of the source that may be mapped at a time: those of its largest tensor."""
        return min(RESIDENT_BYTES, max((s.before.nbytes for s in self.steps()), default=0))

    @property
    def peak_bytes(self) -> int:
        """Bound on the memory of the job above that of an idle interpreter."""
        work = max((step.working_bytes for step in self.steps()), default=0)
        return self.resident_bytes + work + _SLACK_BYTES

    def as_dict(self) -> dict:
        """Return the plan for JSON."""
        copied, left_out = other_files(self.source)
        return {
            "source": str(self.source.path),
            "output_bytes": self.output_bytes,
            "peak_memory_bytes": self.peak_bytes,
            "files_copied": copied,
            "files_left_out": left_out,
            "remarks": list(self.source.remarks),
            **self.summary.as_dict(),
        }
