"""Perplexity and KL divergence of models against a reference model on token windows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from amssim.errors import InputError
from amssim.lm.backends import Backend
from amssim.lm.llama import Llama
from amssim.progress import Steps

# Logits of one batch of windows: 16 MB, so that activations stay in the last cache; a vocabulary of
# 128k tokens still has one window at a time.
_BATCH_LOGITS = 4 << 20


Key = TypeVar("Key")


@dataclass
class Score:
    """Sums over predicted tokens: negative log likelihood, and KL divergence of each token."""

    tokens: int = 0
    nll: float = 0.0
    kl: list[np.ndarray] = field(default_factory=list, repr=False)

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log likelihood."""
        return math.exp(self.nll / self.tokens)

    def as_dict(self) -> dict[str, float | int]:
        """Perplexity, and mean and 99th percentile of KL(reference || model) in nats per token."""
        kl = np.concatenate(self.kl) if self.kl else np.zeros(1)
        return {
            "tokens": self.tokens,
            "perplexity": self.perplexity,
            "kl_mean": float(kl.mean()),
            "kl_p99": float(np.quantile(kl, 0.99)),
        }


def score(
    reference: Llama,
    models: Mapping[Key, Llama],
    windows: np.ndarray,
    *,
    steps: Steps | None = None,
) -> tuple[Score, dict[Key, Score]]:
    """Score ``models`` against ``reference``, batch by batch, the reference's logits made once.

    Args:
        reference: the model with the original weights.
        models: others with the same vocabulary, by any key; may be empty.
        windows: tokens [count, length + 1]; each window predicts its last ``length`` tokens.
        steps: counts the windows of each model.

    Returns:
        The score of the reference and of each model.

    Raises:
        InputError: a model whose predictions are not finite.
    """
    own, scores = Score(), {name: Score() for name in models}
    for tokens in _batches(windows, reference.config.vocab_size):
        inputs, targets = tokens[:, :-1], tokens[:, 1:].reshape(-1)
        if steps:
            steps("scoring", (1 + len(models)) * len(tokens))
        p = _log_softmax(reference, inputs)
        _add(own, reference.backend, p, targets, "the model as stored")
        for name, model in models.items():
            q = _log_softmax(model, inputs)
            _add(scores[name], model.backend, q, targets, "the quantised model")
            scores[name].kl.append(_divergence(model.backend, p, q))
    return own, scores


def _batches(windows: np.ndarray, vocabulary: int) -> Iterator[np.ndarray]:
    count = max(1, _BATCH_LOGITS // ((windows.shape[1] - 1) * vocabulary))
    for start in range(0, len(windows), count):
        yield windows[start : start + count]


def _log_softmax(model: Llama, inputs: np.ndarray) -> Any:
    """Log probabilities [batch * length, vocabulary]."""
    xp, z = model.backend.xp, model.logits(inputs)
    z = z.reshape(-1, z.shape[-1])
    z = z - xp.amax(z, axis=-1, keepdims=True)
    return z - xp.log(xp.sum(xp.exp(z), axis=-1, keepdims=True))


def _add(to: Score, backend: Backend, log_p: Any, targets: np.ndarray, what: str) -> None:
    picked = log_p[backend.array(np.arange(len(targets))), backend.array(targets)]
    total = float(backend.numpy(picked).astype(np.float64).sum())
    if not math.isfinite(total):
        raise InputError(
            f"{what} predicts numbers that are NaN or infinite: a weight is not finite, or so "
            "large that float32 overflows"
        )
    to.tokens += len(targets)
    to.nll -= total


def _divergence(backend: Backend, p: Any, q: Any) -> np.ndarray:
    """KL(p || q) = sum p (log p - log q) of each row, in nats."""
    xp = backend.xp
    return backend.numpy(xp.sum(xp.exp(p) * (p - q), axis=-1))
