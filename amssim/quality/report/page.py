"""One self-contained HTML page about the error of a checkpoint's own weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from matplotlib.figure import Figure

from amssim._text import shown
from amssim.figures import svg

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; color: #222;
       padding: 0 1em; }
h1, h2 { line-height: 1.2; font-weight: 600; } h2 { margin-top: 2em; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #e4e4e4; }
th:first-child, td:first-child { text-align: left; }
tr.ours td { font-weight: 600; }
.wide { overflow-x: auto; } svg { max-width: 100%; height: auto; } p.note { color: #555; }
"""


@dataclass
class Page:
    """Sections of a page, added in order.

    >>> page = Page("Error of a model")
    >>> page.text("No layer < 20 dB.")
    >>> "<p>No layer &lt; 20 dB.</p>" in page.html()
    True
    """

    title: str
    parts: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """Add a heading."""
        self.parts.append(f"<h2>{_html(text)}</h2>")

    def text(self, text: str, *, note: bool = False) -> None:
        """Add a paragraph; a note is set lighter."""
        mark = ' class="note"' if note else ""
        self.parts.append(f"<p{mark}>{_html(text)}</p>")

    def figure(self, drawn: Figure) -> None:
        """Add a figure, drawn into the page."""
        self.parts.append(f"<figure>{_own_ids(svg(drawn), len(self.parts))}</figure>")

    def table(
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        ours: Callable[[Sequence[str]], bool] = lambda row: False,
    ) -> None:
        """Add a table; the rows for which ``ours`` is true stand out."""
        lines = [_row("th", headings)]
        lines += [_row("td", row, ' class="ours"' if ours(row) else "") for row in rows]
        self.parts.append(f'<div class="wide"><table>{"".join(lines)}</table></div>')

    def html(self) -> str:
        """Return the page: no scripts, nothing loaded from elsewhere."""
        title, body = _html(self.title), "\n".join(self.parts)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width">\n<title>{title}</title>\n'
            f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}\n</body></html>\n"
        )


def _own_ids(drawing: str, number: int) -> str:
    """Number the ids of a drawing and what refers to them: a page must have each id once."""
    return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>f{number}-", drawing)


def _row(cell: str, values: Sequence[str], mark: str = "") -> str:
    cells = "".join(f"<{cell}>{_html(str(v))}</{cell}>" for v in values)
    return f"<tr{mark}>{cells}</tr>\n"


def _html(text: str) -> str:
    """Text as HTML: names out of files hold neither markup nor control characters."""
    return escape("\n".join(map(shown, text.split("\n"))))
