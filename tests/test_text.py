"""Text out of files as it is shown: printable, and the end of what is too long."""

from hypothesis import given
from hypothesis import strategies as st

from amssim._text import shown, tail


@given(st.text(max_size=80))
def test_what_is_shown_is_printable_and_tells_what_was_there(text):
    assert shown(text).isprintable()
    assert shown(shown(text)) == shown(text)
    assert (shown(text) == text) == text.isprintable()


@given(st.text(min_size=1, max_size=80), st.integers(4, 40))
def test_a_tail_fits_and_is_printable(name, width):
    end = tail(name, width)
    assert len(end) <= width and end.isprintable()


def test_a_long_name_keeps_its_end():
    assert tail("short") == "short"
    assert tail("model.layers.0.mlp.down_proj.weight", 19) == "...down_proj.weight"
