"""docs/ERROR.md says what the records say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_error_tables_are_up_to_date():
    command = [sys.executable, "error_tables.py", "--check"]
    done = subprocess.run(command, cwd=ROOT / "analysis", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
