"""What is in a checkpoint, from its headers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from amssim.checkpoint.jobs.summary import Summary
from amssim.checkpoint.packed.contents import Contents, read_contents
from amssim.checkpoint.safetensors.source import read_checkpoint


@dataclass(frozen=True)
class Inspection:
    """Contents of a checkpoint and what they amount to."""

    contents: Contents
    summary: Summary

    @property
    def versions(self) -> list[str]:
        """Versions of amssim that wrote the files; none for other checkpoints."""
        return sorted({m.version for m in self.contents.manifests.values() if m})

    def as_dict(self) -> dict:
        """Return everything for JSON."""
        checkpoint = self.contents.checkpoint
        return {
            "path": str(checkpoint.path),
            "written_by": self.versions,
            "files": {name: header.stamp.size for name, header in checkpoint.shards.items()},
            "remarks": list(checkpoint.remarks),
            **self.summary.as_dict(),
        }


def inspect_checkpoint(path: str | Path) -> Inspection:
    """Read the headers of a safetensors file or directory, amssim's or any other.

    Raises:
        AmsError: headers, index or config.json that are damaged or contradict each other.
    """
    contents = read_contents(read_checkpoint(path))
    return Inspection(contents, Summary.of(content for _, content in contents.items()))
