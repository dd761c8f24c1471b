"""Generated parts of documents: what is replaced, what stays, when a document is out of date."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z][a-z0-9.*-]{0,8}", fullmatch=True)
TEXT = st.text(st.characters(blacklist_characters="<>", blacklist_categories=["Cs"]), max_size=40)


@pytest.fixture
def markers():
    import markers

    return markers


def page(parts: dict[str, str], between: str = "words") -> str:
    """A document with a place for each part."""
    places = [f"<!-- {name} -->\n{text}\n<!-- /{name} -->" for name, text in parts.items()]
    return f"{between}\n" + f"\n{between}\n".join(places) + f"\n{between}\n"


@given(st.dictionaries(NAMES, TEXT, min_size=1, max_size=4), TEXT)
def test_parts_are_replaced_and_all_else_stays(parts, between):
    import markers

    filled = markers.filled(page(dict.fromkeys(parts, "old"), between), parts)
    assert filled == page({name: text.strip() for name, text in parts.items()}, between)
    assert markers.filled(filled, parts) == filled


def test_a_part_may_hold_what_looks_like_a_group_of_an_expression(markers):
    text = r"\1 \g<1> $1 \\"
    assert markers.filled(page({"a": "old"}), {"a": text}) == page({"a": text})


def test_a_place_that_is_missing_is_an_error(markers):
    with pytest.raises(ValueError, match="no place marked 'b'"):
        markers.filled(page({"a": "old"}), {"b": "new"})
    with pytest.raises(ValueError, match="no place marked 'a'"):
        markers.filled("<!-- a -->\nno end", {"a": "new"})


def test_tables_are_markdown(markers):
    table = markers.table(["name", "bits"], [["a", 4], ["b", 5.33]])
    assert table.splitlines() == ["| name | bits |", "| --- | --- |", "| a | 4 |", "| b | 5.33 |"]


def test_versions_are_words(markers):
    machine = {"versions": {"numpy": "2.4.6", "numba": "0.68.1"}}
    assert markers.versions(machine) == "numpy 2.4.6, numba 0.68.1"


@pytest.fixture
def document(markers, tmp_path, monkeypatch):
    monkeypatch.setattr(markers, "ROOT", tmp_path)
    path = tmp_path / "PAGE.md"
    path.write_text(page({"a": "old"}))

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["some_tables.py", *words])
        markers.main("PAGE.md", {"a": "new"}, "description")
        return path.read_text()

    return run


def test_a_script_writes_its_document(document):
    assert document() == page({"a": "new"})
    assert document() == page({"a": "new"})


def test_check_says_what_to_run_and_writes_nothing(document, tmp_path):
    with pytest.raises(SystemExit, match=r"PAGE.md is out of date: run python some_tables\.py"):
        document("--check")
    assert (tmp_path / "PAGE.md").read_text() == page({"a": "old"})
    document()
    assert document("--check") == page({"a": "new"})
