"""Streams that are closed, full or left: the exit code is that of the work, or documented."""

import subprocess
import sys

import pytest

from cli.cli_cases import write_files

AMSSIM = f"{sys.executable} -m amssim"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    write_files(folder)
    return folder


def shell(line, folder):
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("{A} schemes >&-", 0, ""),
        ("{A} inspect model --json >&-", 0, ""),
        ("{A} inspect model >&- 2>&- <&-", 0, ""),
        ("{A} --help >&-", 0, ""),
        ("{A} inspect none >&-", 3, "amssim: error: none does not exist\n"),
        ("{A} inspect none 2>&-", 3, ""),
        ("{A} inspect none 2>/dev/full", 3, ""),
        ("{A} nonsense 2>&-", 2, ""),
        ("{A} nonsense 2>/dev/full", 2, ""),
        ("{A} schemes >/dev/full", 4, "amssim: error: No space left on device\n"),
        ("{A} schemes | true; exit ${PIPESTATUS[0]}", 0, ""),
        ("{A} --help | true; exit ${PIPESTATUS[0]}", 0, ""),
        ("{A} inspect none 2> >(true)", 3, ""),
    ],
)
def test_the_exit_code_is_that_of_the_work(files, line, code, said):
    done = shell(line.replace("{A}", AMSSIM), files)
    assert (done.returncode, done.stderr, done.stdout) == (code, said, "")


def test_what_is_printed_does_not_land_in_files(files):
    done = shell(f"{AMSSIM} quantize model packed --threads 1 >&- 2>&-", files)
    assert done.returncode == 0
    assert shell(f"{AMSSIM} verify packed", files).returncode == 0
