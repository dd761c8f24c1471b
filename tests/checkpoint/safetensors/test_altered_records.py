"""job.json and journal altered by hand: refused, and nothing that they name is touched."""

import json

import pytest

from amssim.checkpoint.safetensors.folder import Folder
from amssim.checkpoint.safetensors.folder_lock import JOB
from amssim.checkpoint.safetensors.half_published import JOURNAL
from amssim.checkpoint.safetensors.job_file import JobFile
from amssim.checkpoint.safetensors.journal import Content, Journal
from amssim.errors import MismatchError, OutputError

DIGEST = "0" * 64


@pytest.fixture
def home(tmp_path):
    folder = Folder.at(tmp_path)
    yield folder
    folder.close()


def alter(path, changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [{"files": ["../precious"]}, {"files": ["a", ".."]}, {"files": [1]}, {"files": "../"},
     {"files": "ab"}, {"output": 1}, {"inode": "12"}, {"inode": None},
     {"inode": True}, {"record": []}, {"run": 3}, {"format": 2}, {"format": True}],
)  # fmt: skip
def test_a_job_that_amssim_did_not_write(home, tmp_path, changes):
    job = JobFile("0" * 32, "out", ("a", "b"), 12, {})
    job.write(home)
    assert JobFile.read(home) == job
    alter(tmp_path / JOB, changes)
    with pytest.raises(OutputError, match="is not what this version of amssim writes"):
        JobFile.read(home)


@pytest.mark.parametrize(
    "changes",
    [{"files": []}, {"files": "a"}, {"files": {"../a": {"size": 1, "sha256": DIGEST}}},
     {"files": {"a": {"size": "1", "sha256": DIGEST}}},
     {"files": {"a": {"size": -1, "sha256": DIGEST}}},
     {"files": {"a": {"size": True, "sha256": DIGEST}}},
     {"files": {"a": {"size": 1, "sha256": "0"}}}, {"files": {"a": {"size": 1}}},
     {"staging": "../staging"}, {"staging": 1}, {"replaced": ["b"]}, {"replaced": [[]]},
     {"run": None}, {"format": 2}, {"format": True}],
)  # fmt: skip
def test_a_journal_that_amssim_did_not_write(home, tmp_path, changes):
    journal = Journal("0" * 32, ".amssim-partial", {"a": Content(1, DIGEST)}, frozenset("a"))
    journal.write(home, home)
    assert Journal.read(home) == journal
    alter(tmp_path / JOURNAL, changes)
    with pytest.raises(MismatchError, match="is not what this version of amssim writes"):
        Journal.read(home)
