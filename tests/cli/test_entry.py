"""The command line as a whole: help, exit codes, one sentence for every failure."""

import gc
import os
import subprocess
import sys

import pytest

from amssim import errors
from amssim.cli import entry, main

LIGHT = "import sys; from amssim.cli.entry import make_parser; make_parser(); print(*sys.modules)"


@pytest.mark.parametrize("verb", entry.VERBS)
def test_every_verb_has_help_of_80_columns(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: amssim {verb}")
    assert max(map(len, out.splitlines())) <= 80


def test_help_names_every_verb_and_the_exit_codes(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n    {verb}" in out for verb in entry.VERBS)
    assert "130 interrupted" in out and max(map(len, out.splitlines())) <= 80


def test_help_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    loaded = {module.split(".")[0] for module in done.stdout.split()}
    assert not loaded & {"numpy", "numba", "rich", "safetensors", "matplotlib", "scipy"}


def test_a_verb_is_started_without_the_others():
    code = "import sys; from amssim.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    for line, verb in (["--help"], None), (["verify", "--help"], "verify"):
        command = [sys.executable, "-c", code, *line]
        loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        found = {name for name in entry.VERBS if f"amssim.cli.{name}" in loaded}
        assert found == ({verb} if verb else set())


def test_usage_errors(capsys):
    for argv in ([], ["nonsense"], ["quantize"], ["quantize", "a", "b", "--over"]):
        assert main(argv) == 2
        assert capsys.readouterr().err.startswith("usage: amssim")
    assert main(["--version"]) == 0


def test_usage_errors_come_from_the_verb_and_say_what_may_be_meant(capsys):
    for line, verb, said in (
        ("quantize a b --sceme fp4.25", "quantize", ": --sceme fp4.25: did you mean --scheme?"),
        ("bench checkpoint --sise=1", "bench checkpoint", ": --sise=1: did you mean --size?"),
        ("schemes x --qqqq", "schemes", ": x --qqqq"),
        ("bench", "bench", "required: TARGET"),
    ):
        assert main(line.split()) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"usage: amssim {verb} [-h]")
        assert err.endswith(f'{said} ("amssim {verb} --help" explains)\n')


def run_raising(error, monkeypatch, capsys):
    def fail(args):
        raise error

    monkeypatch.setattr("amssim.cli.schemes.run", fail)
    code = main(["schemes"])
    return code, capsys.readouterr()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.MismatchError, 1),
        (errors.SchemeError, 2),
        (errors.AmsError, 3),
        (errors.InputError, 3),
        (errors.FormatError, 3),
        (errors.UnsafePathError, 3),
        (errors.UnsupportedError, 3),
        (errors.OutputError, 4),
        (errors.ResourceError, 4),
        (OSError, 4),
    ],
)
def test_errors_are_one_sentence_and_an_exit_code(error, code, monkeypatch, capsys):
    found, output = run_raising(error("tensor 'a\x1b[2J\nb' is bad"), monkeypatch, capsys)
    assert found == code and output.out == ""
    assert output.err == "amssim: error: tensor 'a\\x1b[2J\\nb' is bad\n"


def test_interrupts_and_memory(monkeypatch, capsys):
    code, output = run_raising(KeyboardInterrupt(), monkeypatch, capsys)
    assert code == 130 and output.err == "amssim: error: interrupted\n"
    code, output = run_raising(MemoryError(), monkeypatch, capsys)
    assert code == 4 and output.err == "amssim: error: not enough memory\n"
    code, output = run_raising(MemoryError("5 GB for a\x1b"), monkeypatch, capsys)
    assert code == 4 and output.err == "amssim: error: not enough memory: 5 GB for a\\x1b\n"
    code, output = run_raising(RuntimeError("can't start new thread"), monkeypatch, capsys)
    assert code == 4 and output.err == "amssim: error: can't start new thread\n"


def test_notes_say_what_is_left(monkeypatch, capsys):
    interrupt, full = KeyboardInterrupt(), errors.OutputError("the disk is full")
    for error, code, said in (interrupt, 130, "interrupted"), (full, 4, "the disk is full"):
        error.add_note("2 of 5 shards are kept in\nx")
        found, output = run_raising(error, monkeypatch, capsys)
        assert found == code
        assert output.err == f"amssim: error: {said}: 2 of 5 shards are kept in\\nx\n"


def test_a_fault_of_ours_is_not_hidden(monkeypatch, capsys):
    for fault in KeyError, RuntimeError:
        with pytest.raises(fault):
            run_raising(fault("x"), monkeypatch, capsys)


@pytest.mark.parametrize(
    "line", ["schemes", "schemes --json", "predict --list", "inspect --layout fp4.25"]
)
def test_a_reader_that_leaves_early(line):
    """The pipe is closed before anything is written to it."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "amssim", *line.split()]
    with open(write, "wb") as closed:  # noqa: PTH123  a descriptor
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_is_ascii():
    command = [sys.executable, "-m", "amssim", "inspect", "größe"]
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 3
    assert done.stderr == "amssim: error: gr\\xf6\\xdfe does not exist\n"


def test_garbage_is_left_alone_in_a_process_of_its_own_only():
    threshold = gc.get_threshold()
    assert main(["schemes"]) == 0 and gc.get_threshold() == threshold
    code = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count() > 1000))  # called last
from amssim.cli import main
main()
print(gc.get_threshold()[0])
"""
    command = [sys.executable, "-c", code, "-V"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    version, *rest = done.stdout.splitlines()
    assert version.startswith("amssim ") and rest == ["100000", "True"]
