"""Signals end a verb with a sentence and exit code 130, the second one at once."""

import signal
import subprocess
import sys

import pytest

from amssim.cli.signals import SIGNALS, Interrupted, ended_by_signals

SLOW = """
import sys, time
from amssim.cli import main, schemes
def run(args):
    try:
        print("started", flush=True)
        time.sleep(20)
    finally:
        if "stubborn" in sys.argv:
            print("tidying", flush=True)
            time.sleep(20)
schemes.run = run
sys.exit(main(["schemes"]))
"""


def started(*words):
    command = [sys.executable, "-c", SLOW, *words]
    process = subprocess.Popen(command, stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "started\n"
    return process


@pytest.mark.parametrize("number", SIGNALS)
def test_each_signal_is_a_sentence(number):
    process = started()
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err == f"amssim: error: interrupted by {number.name}\n"


def test_the_second_signal_ends_at_once():
    process = started("stubborn")
    process.terminate()
    assert process.stdout.readline() == "tidying\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130 and "Traceback" not in err


def test_ignored_signals_stay_ignored_and_handlers_come_back():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        kept = signal.getsignal(signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGTERM"), ended_by_signals():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is kept
    finally:
        signal.signal(signal.SIGHUP, before)
