"""Docstrings as Markdown: examples become code, and a product's asterisk stays an asterisk."""

from __future__ import annotations

import re
from typing import Any

import griffe

# A paragraph that begins with >>> is an example, as doctest has it.
EXAMPLE = re.compile(r"(^ *>>> .*?(?=\n *\n|\Z))", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
PRODUCT = re.compile(r"(?<=\w)\*(?=\w)")


def as_markdown(docstring: str) -> str:
    r"""Return ``docstring`` with a fence around each example and products escaped elsewhere.

    >>> as_markdown("Bit w*j:\n\n>>> 2 * 2\n4")
    'Bit w\\*j:\n\n```pycon\n>>> 2 * 2\n4\n```'
    """
    texts, examples = EXAMPLE.split(docstring)[::2], EXAMPLE.split(docstring)[1::2]
    parts = [_escaped(texts[0])]
    for example, text in zip(examples, texts[1:], strict=True):
        indent = example[: len(example) - len(example.lstrip())]
        parts += [f"{indent}```pycon\n{example}\n{indent}```", _escaped(text)]
    return "".join(parts)


def _escaped(text: str) -> str:
    parts = CODE.split(text)
    parts[::2] = [PRODUCT.sub(r"\\*", part) for part in parts[::2]]
    return "".join(parts)


class Docstrings(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
