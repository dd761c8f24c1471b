"""Attention of one new token over a cache, without copies of keys and values for each head."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from amssim.torch.operator import LIBRARY

#: ``attn_implementation`` of models whose groups of heads share keys, in PyTorch's kernels
GROUPED = "amssim_grouped"
#: the same in one launch of our own
ATTEND = "amssim_attend"

LIBRARY.define(
    "attend(Tensor query, Tensor key, Tensor value, Tensor mask, float scale) -> Tensor",
    tags=(torch.Tag.needs_exact_strides,),
)


def grouped_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """As "sdpa" of transformers; for one new token, groups of heads share keys and values.

    With a mask, "sdpa" first writes keys and values once for each head of a group.

    Args:
        query: [batch, heads, tokens, size]; key, value: [batch, groups, cached, size].
        attention_mask: [batch or 1, 1, tokens, cached], as ``scaled_dot_product_attention`` has it.
    """
    if _is_plain(query, key, attention_mask):
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
        return plain
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=True
    )
    return out.transpose(1, 2), None


def attend_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The same for one new token by one launch of our own (`amssim.torch.attend`)."""
    if _is_plain(query, key, attention_mask) or scaling is None or attention_mask is None:
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
        return plain
    return torch.ops.amssim.attend(query, key, value, attention_mask, scaling), None


def _is_plain(query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None) -> bool:
    """Whether it is not one new token whose heads share keys."""
    return query.shape[2] > 1 or query.shape[1] == key.shape[1] or mask is None


def _attend_cpu(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scale: float
) -> torch.Tensor:
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scale, enable_gqa=True
    )
    return out.transpose(1, 2).contiguous()


def _attend_cuda(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scale: float
) -> torch.Tensor:
    from amssim.torch.attend import attend

    return attend(query, key, value, mask, scale)


def _attend_meta(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scale: float
) -> torch.Tensor:
    batch, heads, tokens, size = query.shape
    return query.new_empty((batch, tokens, heads, size))


LIBRARY.impl("attend", _attend_cpu, "CPU")
LIBRARY.impl("attend", _attend_cuda, "CUDA")
LIBRARY.impl("attend", _attend_meta, "Meta")
for _name, _attention in ((GROUPED, grouped_attention), (ATTEND, attend_attention)):
    ALL_ATTENTION_FUNCTIONS.register(_name, _attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_name, sdpa_mask)
