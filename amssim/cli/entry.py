"""``amssim VERB ...``: finds the verb, runs it, and turns every failure into one sentence.

A verb is a module of this package with

    add_parser(subparsers)  adds its parser and calls ``parser.set_defaults(run=run)``;
    run(args) -> int        does the work and returns the exit code; may raise any `AmsError`.

Verbs import at module level only what starting costs nothing for: the standard library and
`amssim.errors`. A new verb is one more name in `VERBS`; only the one that is asked for is imported.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from amssim import __version__
from amssim._text import brief
from amssim.cli.garbage import collect_rarely
from amssim.cli.streams import flush_output, open_streams, say
from amssim.errors import AmsError, OutputError, ResourceError

if TYPE_CHECKING:
    from typing import NoReturn

#: Every verb and what it does.
VERBS = {
    "demo": "quantise real weights, verify them, show error, size and speed",
    "quantize": "quantise a checkpoint",
    "dequantize": "make a quantised checkpoint plain again",
    "finish": "publish a checkpoint that was made in parts",
    "inspect": "show what is in a checkpoint, or a scheme's layout",
    "verify": "check a quantised checkpoint",
    "seal": "bind the files of a checkpoint into one set",
    "generate": "generate text with a packed or float model",
    "schemes": "list the preset number formats",
    "bench": "measure speed on this machine",
    "predict": "predict the speedup of quantised weights on a GPU or CPU",
    "calibrate": "measure this machine's GPU or CPU and write its profile",
    "error": "measure what sharing a bit costs",
    "eval": "perplexity and KL divergence of a language model in given formats",
    "report": "write an HTML page about the error of a checkpoint's weights",
}

#: Exit code of a verb that a signal ended.
INTERRUPTED = 130
#: What Python says where the system has no memory, or no number, for one more thread.
_NO_THREAD = "can't start new thread"
_EPILOG = """\
exit codes: 0 done, 1 verification failed, 2 usage, 3 bad input, 4 output or
machine, 130 interrupted. "amssim VERB --help" explains a verb.
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command line (default: that of the process) and return its exit code."""
    if argv is None:
        collect_rarely()
    open_streams()
    try:
        code = _verb(sys.argv[1:] if argv is None else argv)
        flush_output()
        return code
    except KeyboardInterrupt as error:
        return _fail(error, INTERRUPTED, "" if error.args else "interrupted")
    except AmsError as error:
        return _fail(error, error.exit_code)
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        return _flushed(0)
    except MemoryError as error:
        return _fail(error, ResourceError.exit_code, "not enough memory")
    except RuntimeError as error:
        if str(error) != _NO_THREAD:
            raise
        return _fail(error, ResourceError.exit_code)
    except ImportError as error:  # a package is damaged, or memory is short while it loads
        if (error.name or "").startswith("amssim"):
            raise
        return _fail(error, ResourceError.exit_code)
    except OSError as error:  # anything of the system's that nobody foresaw
        return _fail(error, OutputError.exit_code)


def _verb(argv: list[str]) -> int:
    asked = next((word for word in argv if word in VERBS), None)
    try:
        args = make_parser([asked] if asked else []).parse_args(argv)
    except SystemExit as done:  # argparse has printed help or what is wrong
        return done.code if isinstance(done.code, int) else 2
    from amssim.cli.signals import ended_by_signals

    with ended_by_signals():
        code: int = args.run(args)
    return code


class _Parser(argparse.ArgumentParser):
    """Says of an error where help is, and refuses unknown options as the verb that got them."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        super().error(f'{message} ("{self.prog} --help" explains)')

    def _meant(self, words: list[str]) -> str:
        from difflib import get_close_matches

        names = [word.split("=")[0] for word in words if word.startswith("--")]
        known = list(self._option_string_actions)
        meant = [match for name in names for match in get_close_matches(name, known, 1)]
        return f": did you mean {', '.join(meant)}?" if meant else ""


def make_parser(verbs: Collection[str] = VERBS) -> argparse.ArgumentParser:
    """Return the parser with the options of ``verbs``; of others, it knows what they do."""
    parser = _Parser(
        prog="amssim",
        description="LLM weights as small floats whose neighbours share a mantissa bit.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"amssim {__version__}")
    subparsers = parser.add_subparsers(metavar="VERB", required=True)
    for verb, does in VERBS.items():
        if verb in verbs:
            import_module(f"amssim.cli.{verb}").add_parser(subparsers)
        elif not verbs:
            subparsers.add_parser(verb, help=does, add_help=False)
    return parser


def _fail(error: BaseException, code: int, what: str = "") -> int:
    """Print what went wrong as one line, with the notes that it was given on its way."""
    parts = [what, _said(error), *getattr(error, "__notes__", ())]
    say(f"amssim: error: {brief(': '.join(part for part in parts if part))}")
    return _flushed(code)


def _said(error: BaseException) -> str:
    """What an error says; of the system's, without its number."""
    if not isinstance(error, OSError) or isinstance(error, AmsError) or not error.strerror:
        return str(error)
    names = [
        os.fsdecode(n) for n in (error.filename, error.filename2) if isinstance(n, str | bytes)
    ]
    return ": ".join([*names, error.strerror])


def _flushed(code: int) -> int:
    """Return ``code`` once standard output is empty, or cannot be emptied."""
    with suppress(OSError):
        flush_output()
    return code
