"""What is in a checkpoint, from its headers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amssim.checkpoint.jobs.rules import decide
from amssim.checkpoint.jobs.summary import Summary
from amssim.checkpoint.packed.catalog import Catalog, read_catalog
from amssim.errors import InputError
from amssim.scheme import FP5_33


@dataclass(frozen=True)
class Inspection:
    """Every tensor of a checkpoint and what they amount to."""

    catalog: Catalog
    summary: Summary

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is odd about the files, a sentence each."""
        return self.catalog.checkpoint.remarks

    @property
    def versions(self) -> list[str]:
        """Versions of amssim that wrote the files; none for other checkpoints."""
        return sorted({m.version for m in self.catalog.manifests.values() if m})

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        checkpoint = self.catalog.checkpoint
        return {
            "path": str(checkpoint.path),
            "written_by": self.versions,
            "files": {name: header.stamp.size for name, header in checkpoint.shards.items()},
            "remarks": list(self.remarks),
            **self.summary.as_dict(),
        }


def inspect_checkpoint(path: str | Path, *, follow_links: bool = True) -> Inspection:
    """Read the headers of a safetensors file or directory, amssim's or any other.

    ``follow_links=False`` refuses it, and files of it, that are symbolic links.

    Raises:
        AmsError: headers, index or config.json that are damaged or contradict each other.
    """
    catalog = read_catalog(path, follow_links=follow_links)
    return Inspection(catalog, Summary.of(tensor for _, tensor in catalog))


def linear_sizes(path: str | Path) -> dict[str, int]:
    """Return the number of weights of each tensor that is packed or that packing would pick.

    Raises:
        AmsError: as `inspect_checkpoint`.
        InputError: there is none.
    """
    tensors = list(read_catalog(path))
    plain = [header.tensors[t.name] for header, t in tensors if t.packing is None]
    decisions = decide(plain, (), FP5_33)
    sizes = {
        t.name: t.weight_count
        for _, t in sorted(tensors, key=lambda item: item[1].name)
        if t.packing or decisions[t.name].scheme
    }
    if not sizes:
        raise InputError(
            f"{path} holds no weights of linear layers among {len(tensors)} tensors: "
            "expected 2-D float tensors other than embeddings, norms and the output head"
        )
    return sizes
