"""One product that several modules of a model share: each takes its rows of the result."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class SharedProduct(nn.Module):  # type: ignore[misc]
    """A linear layer whose result is taken in slices, each by one `Slice`, for the same x.

    The first slice that is asked for computes all. The result is kept with the x that it is of,
    and let go with the last slice, so any order is right, and calls with another x each only
    cost their own product.

    Attributes:
        ends: where the rows of each slice end.
    """

    ends: tuple[int, ...]
    _kept: tuple[Any, torch.Tensor, tuple[int, ...]] | None

    def share(self, sizes: tuple[int, ...]) -> None:
        """Be shared by slices of so many rows."""
        self.ends = tuple(sum(sizes[: i + 1]) for i in range(len(sizes)))
        self._kept = None

    def start(self, index: int) -> int:
        """Where the rows of a slice begin."""
        return self.ends[index - 1] if index else 0

    def slice(self, x: torch.Tensor, index: int) -> torch.Tensor:
        """Return the slice ``index`` of the result for ``x``, a view of it."""
        kept = self._kept  # read once: another thread may exchange it
        if kept is None or kept[0] is not x or index in kept[2]:
            kept = (x, self(x), ())
        taken = (*kept[2], index)
        self._kept = None if len(taken) == len(self.ends) else (x, kept[1], taken)
        return kept[1][..., self.start(index) : self.ends[index]]


class Slice(nn.Module):  # type: ignore[misc]
    """Stands where a linear layer stood, and takes its rows of a `SharedProduct`.

    Args:
        whole: the product, which is a child of another module.
        index: of the slice.
    """

    whole: Any

    def __init__(self, whole: SharedProduct, index: int):
        super().__init__()
        self.__dict__["whole"] = whole  # no child of this module: it would be one three times
        self.index = index
        self.out_features = whole.ends[index] - whole.start(index)
        self.in_features = whole.in_features

    @property
    def weight(self) -> torch.Tensor:
        """An empty tensor with the dtype and device of a float layer in this place."""
        return self.whole.weight.new_empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply x[..., in_features]; the result is a view of a larger one."""
        return self.whole.slice(x, self.index)

    def extra_repr(self) -> str:
        """What stands in the model's printed form."""
        return f"{self.in_features}, {self.out_features}"
