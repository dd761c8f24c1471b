"""Attention of one new token over a cache, one launch: keys are shared out to many blocks.

Needs Triton, which PyTorch for GPUs brings. Like the products of this package, the launch lets the
one after it begin, and waits for the one ahead before it reads anything.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl

_CHUNK, _PADDED_ROWS = 64, 16  # keys that a block reads at once; rows of a tensor core's tile
_MOST_SPLITS = 16
LEAST = tl.constexpr(-1e30)


@triton.jit  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]
    q, k, v, mask, out, sums, tops, counts, scale, length,
    q_batch, q_head, k_batch, k_head, k_place, v_batch, v_head, v_place, mask_batch,
    GROUPS: tl.constexpr, HEADS: tl.constexpr, SIZE: tl.constexpr, CHUNK: tl.constexpr,
    ROWS: tl.constexpr, STEPS: tl.constexpr, SPLITS: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """A block takes chunks of keys of one group of heads; the last one to end adds all up."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    split, which = tl.program_id(0), tl.program_id(1)
    batch, group = which // GROUPS, which % GROUPS
    row, column, place = tl.arange(0, ROWS), tl.arange(0, SIZE), tl.arange(0, CHUNK)
    real = row < HEADS
    heads = group * HEADS + row
    at = q + batch * q_batch + heads[:, None] * q_head + column[None, :]
    query = tl.load(at, mask=real[:, None], other=0.0)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    found = tl.zeros([ROWS, SIZE], tl.float32)
    keys = k + batch * k_batch + group * k_head
    values = v + batch * v_batch + group * v_head
    for step in range(STEPS):
        places = (split * STEPS + step) * CHUNK + place
        inside = places < length
        key = tl.load(keys + places[None, :] * k_place + column[:, None],
                      mask=inside[None, :], other=0.0)  # fmt: skip
        value = tl.load(values + places[:, None] * v_place + column[None, :],
                        mask=inside[:, None], other=0.0)  # fmt: skip
        hidden = tl.load(mask + batch * mask_batch + places, mask=inside, other=float("-inf"))
        score = tl.dot(query, key) * scale + hidden.to(tl.float32)[None, :]
        score = tl.maximum(score, LEAST)  # finite: where all is hidden, nothing is no number
        new = tl.maximum(top, tl.max(score, 1))
        share = tl.exp(score - new[:, None])
        kept = tl.exp(top - new)
        total = total * kept + tl.sum(share, 1)
        found = found * kept[:, None] + tl.dot(share.to(value.dtype), value)
        top = new
    spot = which * SPLITS + split
    tl.store(sums + (spot * ROWS + row[:, None]) * SIZE + column[None, :], found)
    tl.store(tops + spot * 2 * ROWS + row, top)
    tl.store(tops + spot * 2 * ROWS + ROWS + row, total)
    tl.debug_barrier()
    if tl.atomic_add(counts + which, 1, sem="acq_rel", scope="gpu") == SPLITS - 1:
        tl.debug_barrier()
        to = out + (batch * GROUPS * HEADS + heads[:, None]) * SIZE + column[None, :]
        _add_up(sums, tops, to, real[:, None], which, SIZE, ROWS, SPLITS)
        tl.store(counts + which, 0)


@triton.jit  # type: ignore[untyped-decorator]
def _add_up(  # type: ignore[no-untyped-def]
    sums, tops, to, real, which,
    SIZE: tl.constexpr, ROWS: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """Write the result of a group of heads from what the blocks of its splits found."""
    row, column = tl.arange(0, ROWS), tl.arange(0, SIZE)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    found = tl.zeros([ROWS, SIZE], tl.float32)
    for i in range(SPLITS):
        spot = which * SPLITS + i
        its_top = tl.load(tops + spot * 2 * ROWS + row, cache_modifier=".cg")
        its_total = tl.load(tops + spot * 2 * ROWS + ROWS + row, cache_modifier=".cg")
        own = sums + (spot * ROWS + row[:, None]) * SIZE + column[None, :]
        its_sums = tl.load(own, cache_modifier=".cg")
        new = tl.maximum(top, its_top)
        kept, its = tl.exp(top - new), tl.exp(its_top - new)
        total = total * kept + its_total * its
        found = found * kept[:, None] + its_sums * its[:, None]
        top = new
    result = found / total[:, None]
    tl.store(to, result.to(to.dtype.element_ty), mask=real)


@cache
def _counts(device: torch.device) -> torch.Tensor:
    """Zeros, and zeros again after each launch."""
    return torch.zeros(2**14, dtype=torch.int32, device=device)


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scale: float
) -> torch.Tensor:
    """Return attention [batch, 1, heads, size] of query [batch, heads, 1, size].

    Args:
        query, key, value: float16 or bfloat16, the last axis in one piece; ``size`` a power of 2.
        key, value: [batch, groups, cached, size].
        mask: added to scores, [batch or 1, 1, 1, cached]. Every sequence sees some key.
        scale: of scores.
    """
    batch, heads, _, size = query.shape
    groups, length = key.shape[1:3]
    chunks = -(-length // _CHUNK)
    per_split = -(-chunks // min(_MOST_SPLITS, chunks))
    splits = -(-chunks // per_split)
    rows = max(_PADDED_ROWS, triton.next_power_of_2(heads // groups))
    out = query.new_empty((batch, 1, heads, size))
    blocks = batch * groups
    sums = query.new_empty((blocks, splits, rows, size), dtype=torch.float32)
    tops = query.new_empty((blocks, splits, 2, rows), dtype=torch.float32)
    early = query.is_cuda and torch.cuda.get_device_capability(query.device)[0] >= 9
    options: dict[str, Any] = {"launch_pdl": True} if early else {}
    _attend[(splits, blocks)](
        query, key, value, mask, out, sums, tops, _counts(query.device),
        scale, length,
        query.stride(0), query.stride(1), *key.stride()[:3], *value.stride()[:3],
        0 if mask.shape[0] == 1 else mask.stride(0),
        GROUPS=groups, HEADS=heads // groups, SIZE=size, CHUNK=_CHUNK, ROWS=rows,
        STEPS=per_split, SPLITS=splits, EARLY=early, num_warps=4, **options,
    )  # fmt: skip
    return out
