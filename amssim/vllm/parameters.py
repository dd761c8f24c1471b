"""The stored parts of a packed matrix as parameters that vLLM loads, whole or a rank's slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from vllm.model_executor.parameter import ModelWeightParameter

from amssim.errors import FormatError


class Covered(ModelWeightParameter):  # type: ignore[misc]
    """Rows of words or scales; row-parallel layers take the part that covers their columns.

    vLLM cuts by rows itself, but by columns only into equal parts of what is stored, which groups
    of weights do not allow.

    Args:
        data: [rows, n].
        part: n positions along a stored row; zeros stand for those behind its end.
        stored: positions that a stored row has.
        where: the layer, for errors.
        load: what vLLM hands a stored tensor to, whose loader cuts by rows.
    """

    def __init__(
        self,
        data: torch.Tensor,
        *,
        part: range,
        stored: int,
        where: str,
        load: Callable[..., None],
    ):
        self.part, self.stored, self.where = part, stored, where
        self._load = load
        super().__init__(data=data, input_dim=1, output_dim=0, weight_loader=self._check_and_load)

    def load_row_parallel_weight(self, loaded_weight: torch.Tensor) -> None:
        """Take the part of each row."""
        inside = loaded_weight[:, self.part.start : self.part.stop]
        self.data[:, : inside.shape[1]].copy_(inside)
        self.data[:, inside.shape[1] :].zero_()

    def _check_and_load(self, param: Any, loaded: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Load what has the dtype and the row length of the layer: copying converts by value."""
        if loaded.dtype != self.dtype or loaded.shape[1:] != (self.stored,):
            raise FormatError(
                f"{self.where}: the checkpoint holds {loaded.dtype}{list(loaded.shape)}, expected "
                f"{self.dtype} with {self.stored} in a row"
            )
        self._load(param, loaded, *args, **kwargs)


def shape_parameter(columns: int, where: str) -> torch.nn.Parameter:
    """Return what takes the stored shape of each part of a layer and compares its columns."""
    made = torch.nn.Parameter(torch.zeros(2, dtype=torch.int64), requires_grad=False)

    def load(param: torch.nn.Parameter, loaded: torch.Tensor, *shard: Any, **kwargs: Any) -> None:
        if loaded.shape != (2,) or int(loaded[1]) != columns:
            raise FormatError(
                f"{where}: the checkpoint holds a matrix of shape {loaded.tolist()}, expected "
                f"{columns} columns"
            )
        param.data.copy_(loaded)

    made.weight_loader = load
    return made
