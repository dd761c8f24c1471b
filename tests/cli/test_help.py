"""The help of every verb: complete, and as wide as a terminal."""

import argparse

import pytest
from cli_cases import parsers, words

from amssim.cli import main

ALL = list(parsers())


def names(parser):
    return " ".join(words(parser))


@pytest.fixture
def help_of(capsys, monkeypatch):
    def call(parser, columns: int) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main([*words(parser), "--help"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return call


@pytest.mark.parametrize("parser", ALL, ids=names)
def test_help_names_every_option_and_says_what_it_does(parser, help_of):
    shown = help_of(parser, 100)
    assert parser.description and parser.description.split()[0] in shown
    for action in parser._actions:
        assert action.help and action.help is not argparse.SUPPRESS, action
        argument = action.metavar or ",".join(action.choices or [action.dest])
        for option in action.option_strings or [argument]:
            assert option in shown.partition("\n\n")[2]  # below the line of usage


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("parser", ALL, ids=names)
def test_help_is_not_wider_than_the_terminal(parser, columns, help_of):
    assert max(map(len, help_of(parser, columns).splitlines())) <= columns


@pytest.mark.parametrize("parser", ALL, ids=names)
def test_defaults_that_help_shows_are_those_that_count(parser):
    """Text such as (32) in an option's help is its default."""
    for action in parser._actions:
        if action.help and "%(default)s" in action.help:
            assert action.default is not None, action.option_strings


@pytest.mark.parametrize("parser", ALL, ids=names)
def test_an_unknown_option_is_a_matter_of_usage(parser, capsys):
    required = [a.metavar or a.dest for a in parser._actions if not a.option_strings]
    required = [] if required == ["kind"] else required
    assert main([*words(parser), *required, "--no-such-option"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("usage: amssim") and "Traceback" not in err


def test_every_verb_is_offered_once():
    verbs = [words(parser)[0] for parser in ALL]
    assert sorted(set(verbs)) == sorted(dict.fromkeys(verbs))
    assert verbs.count("bench") == 4 and len(verbs) == len(set(verbs)) + 3
