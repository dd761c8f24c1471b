"""Sizes, effective bits and coverage of a set of tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from amssim.checkpoint.packed.stored import LogicalTensor


@dataclass(frozen=True)
class Portion:
    """Tensors that were treated alike: all of one scheme, or kept for one reason."""

    form: str
    reason: str
    tensors: tuple[LogicalTensor, ...]

    @property
    def weight_count(self) -> int:
        """Number of elements."""
        return sum(tensor.weight_count for tensor in self.tensors)

    @property
    def nbytes(self) -> int:
        """Stored bytes, scales and padding included."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def effective_bits(self) -> Fraction | None:
        """Stored bits per weight; None without weights."""
        return Fraction(8 * self.nbytes, self.weight_count) if self.weight_count else None


@dataclass(frozen=True)
class Summary:
    """Tensors in name order and what they amount to."""

    tensors: tuple[LogicalTensor, ...]

    @classmethod
    def of(cls, tensors: Iterable[LogicalTensor]) -> Summary:
        """Sort ``tensors`` by name."""
        return cls(tuple(sorted(tensors, key=lambda tensor: tensor.name)))

    @property
    def total(self) -> Portion:
        """All tensors."""
        return Portion("", "", self.tensors)

    @property
    def packed(self) -> Portion:
        """The quantised ones."""
        return Portion("", "", tuple(t for t in self.tensors if t.packing))

    @property
    def coverage(self) -> Fraction:
        """Share of the parameters that is quantised."""
        return Fraction(self.packed.weight_count, max(1, self.total.weight_count))

    def portions(self) -> list[Portion]:
        """Schemes first, then kept tensors by reason; the largest first."""
        members: dict[tuple[str, str], list[LogicalTensor]] = {}
        for tensor in self.tensors:
            members.setdefault(tensor.treatment, []).append(tensor)
        portions = [Portion(*key, tuple(tensors)) for key, tensors in members.items()]
        return sorted(
            portions, key=lambda p: (p.tensors[0].packing is None, -p.weight_count, p.reason)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the figures and every tensor for JSON."""
        return {
            "weights": self.total.weight_count,
            "nbytes": self.total.nbytes,
            "coverage": float(self.coverage),
            "effective_bits": _number(self.total.effective_bits),
            "effective_bits_quantized": _number(self.packed.effective_bits),
            "tensors": [_tensor(tensor) for tensor in self.tensors],
        }


def _tensor(tensor: LogicalTensor) -> dict[str, Any]:
    form, reason = tensor.treatment
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "stored_as": form,
        "quantized": tensor.packing is not None,
        "reason": reason or None,
        "nbytes": tensor.nbytes,
    }


def _number(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
