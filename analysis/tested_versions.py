"""Record that the tests passed with the versions installed here, and make the README's table.

After a green `nox -s oldest`: .nox/oldest/bin/python analysis/tested_versions.py oldest
After a green `nox -s newest`: .nox/newest/bin/python analysis/tested_versions.py newest
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import tomllib
from importlib.metadata import version

import markers

RECORD = markers.ROOT / "analysis" / "results" / "tested_versions.json"


def dependencies() -> dict[str, str]:
    """Return the lowest version of every dependency, as pyproject.toml states it."""
    project = tomllib.loads((markers.ROOT / "pyproject.toml").read_text())["project"]
    stated = (re.fullmatch(r"([\w-]+)>=([\d.]+)", text) for text in project["dependencies"])
    return {found[1]: found[2] for found in stated if found}


def installed() -> dict[str, str]:
    """Return the versions of Python and of every dependency here."""
    return {"python": platform.python_version()} | {name: version(name) for name in dependencies()}


def table() -> str:
    """The oldest and newest versions that were tested."""
    record = json.loads(RECORD.read_text())
    rows = [[name, oldest, record["newest"][name]] for name, oldest in record["oldest"].items()]
    return markers.table(["", "oldest", "newest"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session", choices=["oldest", "newest"])
    session = parser.parse_args().session
    old = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    RECORD.write_text(json.dumps(old | {session: installed()}, indent=1) + "\n")
