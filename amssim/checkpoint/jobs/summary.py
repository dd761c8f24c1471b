"""Sizes, effective bits and coverage of a set of tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from amssim.checkpoint.packed.contents import Content


@dataclass(frozen=True)
class Group:
    """Tensors that were treated alike: all of one scheme, or kept for one reason."""

    form: str
    reason: str
    tensors: tuple[Content, ...]

    @property
    def weights(self) -> int:
        """Number of elements."""
        return sum(content.weights for content in self.tensors)

    @property
    def nbytes(self) -> int:
        """Stored bytes, scales and padding included."""
        return sum(content.nbytes for content in self.tensors)

    @property
    def effective_bits(self) -> Fraction | None:
        """Stored bits per weight; None without weights."""
        return Fraction(8 * self.nbytes, self.weights) if self.weights else None


@dataclass(frozen=True)
class Summary:
    """Tensors in name order and what they amount to."""

    tensors: tuple[Content, ...]

    @classmethod
    def of(cls, tensors: Iterable[Content]) -> Summary:
        """Sort ``tensors`` by name."""
        return cls(tuple(sorted(tensors, key=lambda content: content.name)))

    @property
    def total(self) -> Group:
        """All tensors."""
        return Group("", "", self.tensors)

    @property
    def packed(self) -> Group:
        """The quantised ones."""
        return Group("", "", tuple(c for c in self.tensors if c.packing))

    @property
    def coverage(self) -> Fraction:
        """Share of the parameters that is quantised."""
        return Fraction(self.packed.weights, max(1, self.total.weights))

    def groups(self) -> list[Group]:
        """Schemes first, then kept tensors by reason; the largest first."""
        members: dict[tuple[str, str], list[Content]] = {}
        for content in self.tensors:
            members.setdefault(treatment(content), []).append(content)
        groups = [Group(*key, tuple(found)) for key, found in members.items()]
        return sorted(groups, key=lambda g: (g.tensors[0].packing is None, -g.weights, g.reason))

    def as_dict(self) -> dict:
        """Return the figures and every tensor for JSON."""
        return {
            "weights": self.total.weights,
            "nbytes": self.total.nbytes,
            "coverage": float(self.coverage),
            "effective_bits": _number(self.total.effective_bits),
            "effective_bits_quantized": _number(self.packed.effective_bits),
            "tensors": [_tensor(content) for content in self.tensors],
        }


def treatment(content: Content) -> tuple[str, str]:
    """Return as what a tensor is stored, and the reason if it is not packed."""
    if content.packing:
        return content.packing.scheme.name, ""
    return content.dtype, content.reason


def _tensor(content: Content) -> dict:
    form, reason = treatment(content)
    return {
        "name": content.name,
        "shape": list(content.shape),
        "stored_as": form,
        "quantized": content.packing is not None,
        "reason": reason or None,
        "nbytes": content.nbytes,
    }


def _number(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
