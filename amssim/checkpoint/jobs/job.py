"""What will be done to every tensor and what it will take, known from headers alone.

There are two jobs: quantising a float checkpoint, and making a quantised one plain again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from amssim._checks import check_scale_block
from amssim.checkpoint.jobs.rules import Decision, decide, parse_rule, refuse_quantized
from amssim.checkpoint.jobs.summary import Summary
from amssim.checkpoint.packed.catalog import read_catalog
from amssim.checkpoint.packed.config_keys import with_quantization, without_quantization
from amssim.checkpoint.packed.manifest import Manifest
from amssim.checkpoint.packed.stored import FLOAT_DTYPES, LogicalTensor, Packing, rows_and_columns
from amssim.checkpoint.safetensors.descriptor import CHUNK_BYTES
from amssim.checkpoint.safetensors.header import DTYPE_BITS, Header, TensorInfo
from amssim.checkpoint.safetensors.reader import ELEMENTS_AT_ONCE
from amssim.checkpoint.safetensors.shards import Checkpoint, read_checkpoint
from amssim.checkpoint.safetensors.writer import MetadataOf, file_size, place, plain_metadata
from amssim.errors import InputError, SchemeError, UnsupportedError
from amssim.rules import check_scale, check_search
from amssim.scheme import Scheme
from amssim.scheme import scheme as find_scheme

DEFAULT_SCHEME = "fp5.33-e2m3"

#: What threads and the allocator hold besides the arrays; 2 to 4 MB measured.
_SLACK_BYTES = 1 << 22
_STORED = {name: dtype for dtype, name in FLOAT_DTYPES.items()}


@dataclass(frozen=True)
class Step:
    """One tensor as it is and as it will be stored."""

    before: LogicalTensor
    after: LogicalTensor

    @property
    def is_copy(self) -> bool:
        """Whether its bytes stay as they are."""
        return self.before.packing == self.after.packing

    @property
    def working_bytes(self) -> int:
        """Memory for the rows at hand: stored as they were read, as float32, and packed."""
        if self.is_copy:
            return CHUNK_BYTES
        rows, columns = rows_and_columns(self.before.shape)
        count = min(max(1, ELEMENTS_AT_ONCE // columns), rows) * columns
        plain = self.before if self.after.packing else self.after
        element = DTYPE_BITS[plain.dtype] // 8
        return count * (element + (4 if element < 4 else 0) + 2)


@dataclass(frozen=True)
class ShardJob:
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

    Raises:
        UnsupportedError: two tensors would be stored under one name.
    """

    source: Checkpoint
    shards: tuple[ShardJob, ...]
    config: dict[str, Any] | None

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
        work = max((step.working_bytes for step in self.steps()), default=0)
        return work + _SLACK_BYTES

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


def plan_quantize(
    src: str | Path,
    scheme: str | Scheme = DEFAULT_SCHEME,
    *,
    search: str = "adaptive",
    scale: str = "absmax",
    scale_block: int | None = None,
    rules: Iterable[str] = (),
) -> Job:
    """Decide from headers what quantising ``src`` means; arguments as `quantize_checkpoint`.

    Raises:
        AmsError: as `quantize_checkpoint`, as far as headers tell.
    """
    check_search(search)
    check_scale(scale)
    check_scale_block(scale_block, 1)
    options = Packing(find_scheme(scheme), scale_block, search, scale)
    parsed = [parse_rule(text) for text in rules]
    checkpoint = read_checkpoint(src)
    refuse_quantized(checkpoint)
    decisions = decide((info for _, info in checkpoint.items()), parsed, options.scheme)
    _check_any(decisions, checkpoint.path)

    shards = []
    for header in checkpoint.shards.values():
        tensors = [LogicalTensor.plain(header.tensors[name]) for name in sorted(header.tensors)]
        steps = tuple(Step(t, _quantized(t, decisions[t.name], options)) for t in tensors)
        shards.append(ShardJob(header, steps, _manifest(steps)))
    after = [step.after for shard in shards for step in shard.steps]
    return Job(checkpoint, tuple(shards), with_quantization(checkpoint.config, after))


def plan_dequantize(src: str | Path, dtype: str = "bfloat16") -> Job:
    """Decide from headers what making ``src`` plain means; arguments as `dequantize_checkpoint`.

    Raises:
        AmsError: as `dequantize_checkpoint`, as far as headers tell.
    """
    if dtype not in _STORED:
        raise SchemeError(f"unknown dtype {dtype!r}: choose one of {', '.join(_STORED)}")
    catalog = read_catalog(src)
    if not catalog.is_ams:
        raise UnsupportedError(f"{src} holds no tensors that amssim packed: nothing to dequantise")
    shards = []
    for name, tensors in catalog.shards.items():
        steps = tuple(Step(t, _restored(t, _STORED[dtype])) for t in tensors)
        shards.append(ShardJob(catalog.checkpoint.shards[name], steps, None))
    config = without_quantization(catalog.checkpoint.config)
    return Job(catalog.checkpoint, tuple(shards), config)


def _quantized(tensor: LogicalTensor, decision: Decision, options: Packing) -> LogicalTensor:
    if decision.scheme is None:
        return replace(tensor, reason=decision.reason)
    scale_block = check_scale_block(options.scale_block, tensor.shape[-1])
    packing = replace(options, scheme=decision.scheme, scale_block=scale_block, dtype=tensor.dtype)
    return LogicalTensor.packed(tensor.name, tensor.shape, packing)


def _restored(tensor: LogicalTensor, dtype: str) -> LogicalTensor:
    if tensor.packing is None:
        return tensor
    nbytes = tensor.weight_count * DTYPE_BITS[dtype] // 8
    reason = f"from {tensor.packing.scheme}"
    return replace(tensor, dtype=dtype, nbytes=nbytes, packing=None, reason=reason)


def _manifest(steps: Iterable[Step]) -> Manifest:
    after = [step.after for step in steps]
    return Manifest(
        packed={tensor.name: tensor.packing for tensor in after if tensor.packing},
        kept={tensor.name: tensor.reason for tensor in after if not tensor.packing},
    )


def _check_any(decisions: dict[str, Decision], path: Path) -> None:
    if not any(decision.scheme for decision in decisions.values()):
        reasons = sorted({d.reason for d in decisions.values()}) or ["it has no tensors"]
        raise InputError(
            f"nothing of {path} would be quantised ({'; '.join(reasons)}): choose tensors by a rule"
        )
