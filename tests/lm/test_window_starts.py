"""Windows of tokens: where they start, what they leave out, and that two kinds never meet."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from amssim.errors import FormatError, InputError
from amssim.lm import all_windows, between_windows, read_tokens, spread_windows

LENGTHS = st.integers(1, 40)


@given(st.integers(2, 3000), st.integers(1, 60), LENGTHS)
def test_spread_windows_start_evenly(n, count, length):
    assume(n > length)
    windows = spread_windows(np.arange(n), count=count, length=length)
    starts = windows[:, 0]
    assert windows.shape[1] == length + 1 and len(windows) <= count
    assert (windows == starts[:, None] + np.arange(length + 1)).all()
    assert starts[0] == 0 and windows.max() < n
    if len(windows) > 1:
        assert len(set(np.diff(starts).tolist())) == 1  # one step
        assert starts[1] == (n - length - 1) // len(windows)
    assert len(set(starts.tolist())) == len(starts)


@given(st.integers(2, 3000), LENGTHS)
def test_all_windows_predict_every_token_once(n, length):
    assume(n > length)
    windows = all_windows(np.arange(n), length=length)
    predicted = windows[:, 1:].reshape(-1)
    assert predicted.tolist() == list(range(1, len(windows) * length + 1))
    assert n - 1 - length < len(predicted) <= n - 1


@given(st.integers(50, 5000), st.integers(1, 40), LENGTHS)
def test_calibration_windows_never_meet_the_scored_ones(n, count, length):
    tokens = np.arange(n)
    assume(n > length and (n - length - 1) // count >= 2 * (length + 1))
    scored = spread_windows(tokens, count=count, length=length)
    between = between_windows(tokens, count=count, length=length)
    assert between.shape == (count, length + 1) and between.max() < n
    assert not set(scored.reshape(-1).tolist()) & set(between.reshape(-1).tolist())
    assert len(np.unique(between)) == between.size


@given(st.integers(2, 2000), st.integers(1, 40), LENGTHS)
def test_texts_too_short_for_both_are_refused(n, count, length):
    assume(n > length and (n - length - 1) // count < 2 * (length + 1))
    with pytest.raises(InputError, match=f"{n} tokens leave no room for {count} calibration"):
        between_windows(np.arange(n), count=count, length=length)


@pytest.mark.parametrize("take", [spread_windows, between_windows])
def test_counts_and_lengths_have_names(take):
    with pytest.raises(TypeError):
        take(np.arange(99), 4, 8)
    with pytest.raises(InputError, match="cannot take 0 windows of 8 tokens: expected 1 or more"):
        take(np.arange(99), count=0, length=8)


@given(st.lists(st.integers(0, 49), min_size=1, max_size=50), st.sampled_from(" \n\t"))
def test_text_files_of_numbers(tmp_path_factory, tokens, between):
    path = tmp_path_factory.mktemp("tokens") / "t.txt"
    path.write_text(between.join(map(str, tokens)))
    assert read_tokens(path, 50).tolist() == tokens


@pytest.mark.parametrize("text", ["1 2 three", "1.5", "0x10", "1,2", "9" * 30])
def test_texts_that_are_no_tokens(tmp_path, text):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(FormatError, match="expected whole numbers with spaces between"):
        read_tokens(tmp_path / "t.txt", 50)
