"""What is known of the inputs of each layer: from a file, or from running the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from amssim._npy import load_npy
from amssim.checkpoint.packed.mapping import FloatCheckpoint
from amssim.errors import InputError
from amssim.lm.load import load_model
from amssim.lm.moments import activation_moments, second_moments
from amssim.lm.windows import read_tokens, spread_windows
from amssim.quality.layers.layer import Layers, LinearLayer

#: Windows of the text that inputs are measured on.
WINDOWS = 32


class Inputs:
    """Second moments float32[cols, cols] of the inputs of a layer, by its weight's name."""

    def __init__(self, where: str, by_name: Mapping[str, np.ndarray], *, whole: bool = False):
        """``whole``: ``by_name`` holds moments; else it holds inputs float[samples, cols]."""
        self.where, self.by_name, self.whole = where, by_name, whole

    @classmethod
    def of_file(cls, path: str | Path) -> Inputs:
        """Inputs of every layer in a .npy file, or of each in a .safetensors file.

        Raises:
            AmsError: a file that cannot be read as either.
        """
        path = Path(path)
        if path.suffix == ".safetensors":
            return cls(str(path), FloatCheckpoint(path))
        return cls(str(path), _Same(activation_moments(load_npy(path, "activations"))), whole=True)

    @classmethod
    def of_model(cls, checkpoint: str | Path, tokens: str | Path) -> Inputs:
        """Run a language model on `WINDOWS` windows of a token file.

        Raises:
            AmsError: see `load_model` and `read_tokens`.
        """
        model = load_model(checkpoint)
        windows = spread_windows(read_tokens(tokens, model.config.vocab_size), count=WINDOWS)
        return cls(str(checkpoint), second_moments(model, windows[:, :-1]), whole=True)

    def of(self, name: str) -> np.ndarray:
        """Second moments of the inputs of layer ``name``.

        Raises:
            InputError: none are known, or they are no finite inputs.
        """
        if name not in self.by_name:
            raise InputError(
                f"{self.where} has no inputs of {name}: expected inputs of every layer"
            )
        known = self.by_name[name]
        return known if self.whole else activation_moments(known)

    def beside(self, layers: Layers) -> Layers:
        """Yield ``layers`` with the moments of their inputs."""
        for layer in layers:
            yield LinearLayer(layer.name, layer.weights, self.of(layer.name))


class _Same(Mapping[str, np.ndarray]):
    """One value under every name."""

    def __init__(self, value: np.ndarray):
        self.value = value

    def __getitem__(self, name: str) -> np.ndarray:
        return self.value

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
