"""A page about a quantised directory for whoever finds it: what it is, and what runs it.

It is a file of its own, ``amssim.md``. README.md is the card of the model, and stays as the source
has it, or absent: a page of that name would be copied along when the directory is made plain again,
and say of plain weights that they are packed. What is named ``amssim.*`` is left out then.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from amssim import __version__
from amssim.checkpoint.jobs.summary import Portion, Summary

_RUN = """\
```
pip install 'amssim[transformers]'
amssim generate PATH "def mean(values):" --tokens 64
```

```python
import amssim.torch  # before loading
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("PATH")
```

PATH is this directory. Loaders that know nothing of amssim take what
`amssim dequantize PATH DST` writes; `amssim verify PATH` compares every byte with its checksum.
"""


def source_name(path: Path) -> str:
    """Return what a card calls the source at ``path``: its name, in characters that are harmless.

    >>> source_name(Path("models/llama"))
    'llama'
    """
    return _harmless(Path(os.path.abspath(path)).name)  # noqa: PTH100  links are not followed


def card(name: str, summary: Summary, options: dict[str, Any]) -> bytes:
    """Return the page: the same for the same job, with no time, machine or path in it.

    Args:
        name: of the source.
        summary: of what is stored.
        options: of the job.
    """
    name = _harmless(name)
    rows = [
        f"| {portion.form} | {len(portion.tensors):,} | {portion.weight_count:,} "
        f"| {_bits(portion)} | {portion.reason or 'packed'} |"
        for portion in summary.portions()
    ]
    block = options["scale_block"]
    scales = f"a scale for every {block} columns" if block else "a scale for every row"
    text = f"""\
# {name}, packed

The weights of `{name}` in {options["scheme"]}, packed by amssim {__version__} with
{options["search"]} search and {options["scale"]} scales, {scales}.
{float(summary.coverage):.1%} of the parameters are packed, in
{_bits(summary.packed)} bits each with scales; all of them take {_bits(summary.total)} on average.
Licence and use are those of `{name}`.

{_RUN}
| stored as | tensors | parameters | bits each | why |
|---|---|---|---|---|
"""
    return (text + "\n".join(rows) + "\n").encode()


def _harmless(name: str) -> str:
    return "".join(c if c.isprintable() and c not in "`|<>[]" else "_" for c in name) or "_"


def _bits(portion: Portion) -> str:
    bits = portion.effective_bits
    return "-" if bits is None else f"{float(bits):.3f}"
