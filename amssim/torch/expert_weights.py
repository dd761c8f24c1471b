"""What a model's experts module is: its stacked weights, and whether packed ones can replace them.

Of modules that keep all experts in 3-D parameters [experts, rows, columns], those serve that follow
the protocol of transformers (`use_experts_implementation`): its own activation between two
products, and routing weights behind them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

UP, DOWN = ("gate_up_proj", "up_proj"), "down_proj"

_TRANSPOSED = (
    "the last dimension of its experts is the output, along which packed weights have no groups"
)
_OTHER = "its experts do not follow the protocol of transformers (use_experts_implementation)"


def expert_weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the 3-D weights of an experts module by name; none for any other module."""
    found = {name: module._parameters.get(name) for name in (*UP, DOWN)}
    stacked = {name: w for name, w in found.items() if w is not None and w.ndim == 3}
    return stacked if DOWN in stacked and len(stacked) > 1 else {}


def experts_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the experts modules of ``model`` by name."""
    return {name: m for name, m in model.named_modules() if name and expert_weights(m)}


def obstacle(module: nn.Module) -> str | None:
    """Why packed weights cannot stand in an experts module; None if they can."""
    weights = expert_weights(module)
    if getattr(module, "is_transposed", False) or _is_transposed(weights):
        return f"{_TRANSPOSED} ({type(module).__name__})"
    if not hasattr(module, "has_gate") or not hasattr(type(module), "_apply_gate"):
        return f"{_OTHER} ({type(module).__name__})"
    return None


def _is_transposed(weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether shapes fit together only if the last dimension is the output."""
    up, down = weights.get("gate_up_proj"), weights.get(DOWN)
    if up is None or down is None:
        return False
    inner, hidden = down.shape[1:]
    return tuple(up.shape[1:]) == (hidden, 2 * inner)
