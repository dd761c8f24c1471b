"""What every verb prints with: tables, JSON, a progress bar, long names and sizes made short."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim._units import short_number, size
from amssim.cli import terminal


def test_a_progress_bar_on_a_terminal(monkeypatch, capsys):
    with terminal.progress_bar("auto", "working") as progress:
        assert progress is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with terminal.progress_bar("none", "working") as progress:
        assert progress is None
    with terminal.progress_bar("auto", "working") as progress:
        progress(1, 2, "[red]name")
    out, err = capsys.readouterr()
    assert out == "" and "working" in err and "50%" in err


def test_numbers_are_short():
    sizes = {0: "0 B", 999: "999 B", 1000: "1 kB", 11_200_000: "11.2 MB", 2 * 10**12: "2 TB"}
    assert {n: size(n) for n in sizes} == sizes
    assert [short_number(n) for n in (7, 27_271_680)] == ["7", "27.3 M"]


@given(st.integers(0, 10**14) | st.integers(3, 14).map(lambda n: 10**n - 1))
def test_a_size_is_near_the_bytes_it_stands_for(nbytes):
    digits, unit = size(nbytes).split()
    step = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    assert float(digits) * step == pytest.approx(nbytes, rel=0.005)
    assert len(digits.replace(".", "")) <= 3 and "e" not in digits


def test_names_out_of_files_are_no_markup(capsys):
    table = terminal.table("tensor", "size")
    table.add_row("[red]x[/red] :smile:", "1")
    terminal.console().print(table)
    out = capsys.readouterr().out
    assert "[red]x[/red] :smile:" in out and "\x1b" not in out


def test_the_first_column_is_text_and_the_others_are_numbers(capsys):
    table = terminal.table("tensor", "bits")
    table.add_row("a", "1")
    table.add_row("bbbb", "1000")
    terminal.console().print(table)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[-2].index("a") == lines[-1].index("b")
    assert lines[-2].index("1") == lines[-1].rindex("0")


def test_json_names_its_form_and_holds_only_numbers(capsys):
    terminal.print_json("amssim.test/1", {"a": [1.5, None]})
    assert json.loads(capsys.readouterr().out) == {"schema": "amssim.test/1", "a": [1.5, None]}
    with pytest.raises(ValueError, match="Out of range float values"):
        terminal.print_json("amssim.test/1", {"a": float("nan")})
