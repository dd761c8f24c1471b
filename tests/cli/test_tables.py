"""Tables as they are printed: aligned, folded to a terminal, whole in a file, printable."""

import os
import sys

from hypothesis import given
from hypothesis import strategies as st

from amssim.cli.tables import TextTable, cell_width, wrapped

CELL = st.text(max_size=30)


def lines(*rows, headings=("name", "size")):
    made = TextTable(*headings)
    for row in rows:
        made.add_row(*row)
    return str(made).split("\n")[1:-1]


@given(st.lists(st.tuples(CELL, CELL), min_size=1))
def test_every_line_is_printable_and_as_wide_as_the_rule(rows):
    heading, rule, *body = lines(*rows)
    assert len(body) == len(rows)
    for line in (heading, rule, *body):
        assert line.isprintable() and cell_width(line) <= len(rule)
    for line, (_, last) in zip(body, rows, strict=True):
        assert cell_width(line) == len(rule) or not last[-1:].isalnum()


def test_sections_and_missing_cells():
    made = TextTable("a", "b", "c")
    made.add_row("x")
    made.add_section()
    made.add_row("total", "1", "2")
    assert str(made).splitlines() == [
        "", "a      b  c", "───────────", "x", "", "total  1  2",
    ]  # fmt: skip


def test_a_terminal_gets_folded_cells_and_a_file_whole_ones(monkeypatch):
    name = "model.layers.0.mlp.experts.down_proj.weight"
    monkeypatch.delenv("COLUMNS", raising=False)
    assert f"{name}    12" in lines([name, "12"])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((30, 24)))
    _, rule, first, *more = lines([name, "12"])
    assert len(rule) == 30 and first.endswith("12")
    assert [first.split()[0], *more] == ["model.layers.0.mlp", ".experts.down_proj", ".weight"]
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((24, 24)))
    folded = [line.split()[0] for line in lines(["a" * 25 + ".b", "12"])[2:]]
    assert folded == ["a" * 18, "a" * 7 + ".b"]


def test_text_is_wrapped_between_words_where_a_screen_is_narrow(monkeypatch):
    text = "short\n  note: the words of a long line, and a/path/that/has/no/place/to/break/it"
    monkeypatch.delenv("COLUMNS", raising=False)
    assert wrapped(text) == text
    monkeypatch.setenv("COLUMNS", "30")
    first, *lines = wrapped(text).splitlines()
    assert first == "short" and " ".join(lines) == text[6:]
    assert all(len(line) <= 30 or " " not in line for line in lines)
