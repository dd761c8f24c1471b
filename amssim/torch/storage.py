"""The word order that products on a device read, made from the stored one and brought back.

On the CPU FP5.33 is read in an order of its own where the AVX2 kernels serve; everything else is
read as it is stored.
"""

from __future__ import annotations

from functools import cache

import torch

from amssim.cpu.avx2 import vector_form
from amssim.cpu.fp533 import from_tiles, to_tiles
from amssim.cpu.operands import VectorForm
from amssim.layout import layout
from amssim.scheme import FP5_33, scheme


@cache
def cpu_form(name: str, block: int) -> VectorForm | None:
    """The vectors that the CPU reads rows as; None for the plain product. ``block`` 0 is a row.

    It is chosen once for a process: the words of a model lie in its order.
    """
    return vector_form(scheme(name), block or None)


def is_arranged(name: str, block: int, device: torch.device) -> bool:
    """Whether products on ``device`` read another order than the stored one."""
    return device.type == "cpu" and scheme(name) == FP5_33 and cpu_form(name, block) is not None


def arrange(words: torch.Tensor) -> torch.Tensor:
    """Stored words uint16[rows, half-words] of FP5.33 as the CPU reads them."""
    return torch.from_numpy(to_tiles(words.detach().numpy()))


def stored(arranged: torch.Tensor, name: str, columns: int) -> torch.Tensor:
    """The inverse of `arrange` for rows of ``columns`` weights."""
    count = layout(scheme(name)).row_words(columns)
    return torch.from_numpy(from_tiles(arranged.numpy(), count))
