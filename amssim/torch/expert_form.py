"""One weight of all experts: what its packed matrices are, each arranged apart for its device."""

from __future__ import annotations

from typing import NamedTuple

import torch

from amssim.layout import layout
from amssim.scheme import scheme as find_scheme
from amssim.torch import storage
from amssim.torch.storage import Arranged, PackedForm, Stored


class ExpertForm(NamedTuple):
    """``experts`` packed matrices of ``rows`` rows, of which ``matrix`` tells the rest."""

    experts: int
    rows: int
    matrix: PackedForm

    @property
    def words_shape(self) -> tuple[int, int, int]:
        """Of uint16[experts, rows, half-words]."""
        half_words = layout(find_scheme(self.matrix.scheme)).row_words(self.matrix.columns)
        return self.experts, self.rows, half_words

    @property
    def scales_shape(self) -> tuple[int, int, int]:
        """Of float32[experts, rows, blocks]."""
        block = self.matrix.block
        return self.experts, self.rows, -(-self.matrix.columns // block) if block else 1

    def stated_shape(self, parts: int) -> torch.Tensor:
        """What files say of it, merged: as one tensor, or as ``parts`` of every expert."""
        columns = self.matrix.columns
        if not parts:
            return torch.tensor([self.experts, self.rows, columns])
        return torch.tensor([self.rows // parts, columns]).repeat(self.experts, parts)

    def is_arranged(self, device: torch.device) -> bool:
        """Whether products on ``device`` read another order than the stored one."""
        return storage.is_arranged(self.matrix, device, self.rows)

    def arrange(self, stored: Stored) -> Arranged:
        """Arrange every expert's matrix apart, as kernels take them, in three tensors for all.

        Scales are None where the device reads them as they are stored.
        """

        def one(e: int) -> Arranged:
            given = Stored(stored.words[e], stored.scales[e])
            made = storage.arrange(given, self.matrix)
            return made._replace(scales=None if made.scales is given.scales else made.scales)

        first = one(0)
        stacks = [None if p is None else p.new_empty((self.experts, *p.shape)) for p in first]
        for e in range(self.experts):
            for stack, part in zip(stacks, one(e) if e else first, strict=True):
                if stack is not None:
                    stack[e] = part
        return Arranged(*stacks)

    def stored_words(self, arranged: Arranged) -> torch.Tensor:
        """The words of what `arrange` made, brought back expert by expert."""
        each = (of_expert(arranged, e) for e in range(self.experts))
        return torch.stack([storage.back_to_stored(one, self.matrix).words for one in each])


def of_expert(arranged: Arranged, expert: int) -> Arranged:
    """One expert's matrix, as views."""
    words, tails, scales = arranged
    return Arranged(words[expert], None if tails is None else tails[expert], scales[expert])
