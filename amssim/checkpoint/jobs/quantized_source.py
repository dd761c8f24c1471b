"""Signs that a checkpoint is quantised already, whoever did it."""

from __future__ import annotations

import re

from amssim.checkpoint.packed.manifest import KEY
from amssim.checkpoint.safetensors.config import quantization
from amssim.checkpoint.safetensors.source import Checkpoint
from amssim.errors import UnsupportedError

_NAME = re.compile(
    r"\.(qweight|qzeros|g_idx|SCB|absmax|quant_map|quant_state\..*"
    r"|weight_(packed|scale|scale_inv|zero_point))$"
)


def refuse_quantized(checkpoint: Checkpoint) -> None:
    """Raise `UnsupportedError` if ``checkpoint`` holds anything but plain weights."""
    sign = _sign(checkpoint)
    if sign:
        raise UnsupportedError(
            f"{checkpoint.path} is quantised already ({sign}): start from the float checkpoint, "
            "or dequantise it first"
        )


def _sign(checkpoint: Checkpoint) -> str | None:
    block = quantization(checkpoint.config)
    if block is not None:
        return f"quant_method {block.get('quant_method')!r} in config.json"
    for header, info in checkpoint.items():
        if KEY in header.metadata:
            return f"{header.path.name} was written by amssim"
        if _NAME.search(info.name):
            return f"tensor {info.name!r}"
        if info.dtype.startswith(("F8_", "F6_", "F4")):
            return f"tensor {info.name!r} is {info.dtype}"
    return None
