"""How much a model's predictions suffer from noise in each layer's output."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from amssim.formats.base import Format
from amssim.lm.llama import Llama
from amssim.lm.scoring import score
from amssim.quality.evaluation.evaluate import model_layers
from amssim.quality.recipes.per_tensor import noise_share


def sensitivities(
    model: Llama,
    form: Format,
    windows: np.ndarray,
    *,
    moments: Mapping[str, np.ndarray] | None = None,
) -> dict[str, float]:
    """Return for each layer the KL divergence over the share of noise in the layer's output.

    Each layer in turn is put through ``form``, the others staying as they are. Small errors of
    different layers add up in the KL divergence, so these are the weights of a bit budget.

    Args:
        model: the reference.
        form: adds the noise; its own size does not matter while it is small.
        windows: tokens [count, length + 1] to predict, apart from those of any evaluation.
        moments: second moments of the layers' inputs by weight name.
    """
    shares, changed = {}, {}
    for layer in model_layers(model, moments=moments):
        restored = form.quantize(layer.weights, layer.moments).dequantize()
        shares[layer.name] = noise_share(layer, restored)
        changed[layer.name] = model.with_weights({layer.name: model.backend.array(restored)})
    _, scores = score(model, changed, windows)
    return {
        name: scores[name].as_dict()["kl_mean"] / share if share else 0.0
        for name, share in shares.items()
    }
