"""``amssim VERB ...``: finds the verb, runs it, and turns every failure into one sentence.

A verb is a module of this package with

    add_parser(subparsers)  adds its parser and calls ``parser.set_defaults(run=run)``;
    run(args) -> int        does the work and returns the exit code; may raise any `AmsError`.

Verbs import at module level only what starting costs nothing for: the standard library and
`amssim.errors`. A new verb is one more name in `VERBS`.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from amssim import __version__
from amssim.cli.terminal import shown
from amssim.errors import AmsError, OutputError, ResourceError

VERBS = (
    "demo",
    "quantize",
    "dequantize",
    "inspect",
    "verify",
    "schemes",
    "bench",
    "predict",
    "calibrate",
    "error",
    "eval",
    "report",
)

INTERRUPTED = 130
_EPILOG = """\
exit codes: 0 done, 1 verification failed, 2 usage, 3 bad input, 4 output or
machine, 130 interrupted. "amssim VERB --help" explains a verb.
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command line (default: that of the process) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what the terminal cannot show is shown escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        args = make_parser().parse_args(argv)
    except SystemExit as done:  # argparse has printed help or what is wrong
        return done.code if isinstance(done.code, int) else 2
    except KeyboardInterrupt:
        return INTERRUPTED
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except AmsError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted: no partial file is left", INTERRUPTED)
    except MemoryError:
        return _fail("not enough memory", ResourceError.exit_code)
    except (BrokenPipeError, SystemExit):  # the reader of our output, such as head, has left;
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # rich exits then
        return 0
    except OSError as error:  # anything of the system's that nobody foresaw
        return _fail(str(error), OutputError.exit_code)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with all verbs."""
    parser = argparse.ArgumentParser(
        prog="amssim",
        description="LLM weights as small floats whose neighbours share a mantissa bit.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"amssim {__version__}")
    subparsers = parser.add_subparsers(metavar="VERB", required=True)
    for verb in VERBS:
        import_module(f"amssim.cli.{verb}").add_parser(subparsers)
    return parser


def _fail(sentence: str, code: int) -> int:
    print(f"amssim: error: {shown(sentence)}", file=sys.stderr)
    return code
