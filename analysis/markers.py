"""Generated text in documents: what lies between `<!-- name -->` and `<!-- /name -->`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def filled(text: str, parts: dict[str, str]) -> str:
    """Return ``text`` with every marked part replaced; a marker that is missing is an error."""
    for name, content in parts.items():
        marked = re.compile(
            rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.S
        )
        if not marked.search(text):
            raise ValueError(f"no place marked {name!r}")
        text = marked.sub(lambda m, c=content: f"{m[1]}{c.strip()}\n{m[2]}", text)
    return text


def table(headings: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def versions(machine: dict) -> str:
    """The packages of a recorded machine, in words."""
    return ", ".join(f"{package} {version}" for package, version in machine["versions"].items())


def main(document: str, parts: dict[str, str], description: str) -> None:
    """Write the ``parts`` of ``document``, or with --check only say whether they are up to date."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of date")
    check = parser.parse_args().check
    path = ROOT / document
    old = path.read_text()
    new = filled(old, parts)
    if check and new != old:
        sys.exit(f"{document} is out of date: run python {Path(sys.argv[0]).name}")
    if not check:
        path.write_text(new)
