"""The command line: one file per verb. Nothing else in the package prints."""

from amssim.cli.entry import main

__all__ = ["main"]
