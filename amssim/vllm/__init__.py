"""Packed checkpoints in vLLM, which finds `register` by the entry point of the package.

Nothing is to be imported: ``vllm serve DIRECTORY`` takes what ``amssim quantize`` wrote.
"""

from amssim.checkpoint.packed.config_keys import METHOD

__all__ = ["register"]


def register() -> None:
    """Tell vLLM of the method "ams".

    It calls this in each of its processes, in some more than once.
    """
    from vllm.model_executor.layers.quantization import (
        QUANTIZATION_METHODS,
        register_quantization_config,
    )

    if METHOD not in QUANTIZATION_METHODS:
        from amssim.vllm.config import AmsQuantConfig

        register_quantization_config(METHOD)(AmsQuantConfig)
