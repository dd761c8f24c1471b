"""What a worker does with an errand, and why it refuses one: tried without Dask."""

import json
import pickle
import shutil
from contextlib import closing

import pytest

from amssim import MismatchError, OutputError, ResourceError, UnsupportedError
from amssim.checkpoint import plan_quantize
from amssim.checkpoint.jobs.dask_client import check_address, own_error, remote_call
from amssim.checkpoint.jobs.errand import check_errand, do_tasks, errand_of, read_parts
from amssim.checkpoint.jobs.execute import assemble, target_of
from amssim.checkpoint.jobs.pieces import Piece
from amssim.checkpoint.safetensors.folder import Folder
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.token import Token
from checkpoint.builders import make_model


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


@pytest.fixture
def staged(model, tmp_path):
    """An assembly, the token of whoever waits for it, and the errand."""
    job = plan_quantize(model, "fp4.25")
    with (
        Staging.open(target_of(job, tmp_path / "out", overwrite=False), job.record) as staging,
        closing(Folder.at(staging.path)) as folder,
        closing(Token(folder)) as token,
        closing(assemble(job, staging)) as assembly,
    ):
        yield assembly, token, errand_of(assembly, token.name, sync=True)


def test_an_errand_is_done_and_can_be_done_again(staged):
    assembly, _, errand = staged
    numbers = [task.number for task in assembly.tasks]
    first, again = do_tasks(errand, numbers), do_tasks(pickle.loads(pickle.dumps(errand)), numbers)
    assert first == again and [result.number for result in first.results] == numbers


def test_nobody_waits_any_longer(staged):
    _, token, errand = staged
    token.close()
    assert do_tasks(errand, [0, 1]).results == []


def test_a_newer_token_ends_an_older_one(staged):
    assembly, _, errand = staged
    with closing(Folder.at(assembly.shards[0].path.parent.parent)) as folder:
        Token(folder).close()
    assert not errand.is_wanted


def test_another_version(staged):
    _, _, errand = staged
    with pytest.raises(UnsupportedError, match=r"the worker on .+ has amssim .+ and this is 9\.9"):
        check_errand(errand._replace(version="9.9"))


def test_another_disk(staged, tmp_path):
    _, _, errand = staged
    with pytest.raises(OutputError, match=r"worker on .+ does not see .+: source and output must"):
        check_errand(errand._replace(folder=str(tmp_path / "elsewhere")))
    copied = tmp_path / "copy of the folder from before"
    shutil.copytree(errand.folder, copied, ignore=lambda *_: [errand.token])
    with pytest.raises(OutputError, match="does not see"):
        check_errand(errand._replace(folder=str(copied)))


def test_another_source(staged, model):
    _, _, errand = staged
    check_errand(errand)
    (model / "config.json").write_text("{}")
    check_errand.__globals__["_planned"].cache_clear()
    with pytest.raises(MismatchError, match=f"sees another checkpoint under {model}"):
        check_errand(errand)


def test_other_options_are_another_job(staged):
    _, _, errand = staged
    options = json.loads(errand.options) | {"search": "replace"}
    with pytest.raises(MismatchError, match="sees another checkpoint under"):
        do_tasks(errand._replace(options=json.dumps(options)), [0])


def test_reading_back_needs_a_header(staged):
    assembly, _, errand = staged
    do_tasks(errand, [0])
    with pytest.raises(Exception, match=r"the header") as refused:
        read_parts(errand, assembly.shards[0].path.name, [Piece("x", 0, 1)])
    assert isinstance(refused.value, ValueError)


def test_a_call_is_bytes_that_anybody_can_hold():
    assert pickle.loads(remote_call(check_address, "tcp://a:1")) == ("a", 1)


def test_errors_of_workers_are_sentences():
    distributed = pytest.importorskip("distributed")

    class Worker:
        address = "tcp://10.0.0.2:4000"

    killed = own_error(distributed.KilledWorker("key", Worker(), 3), "9 tasks of a.safetensors")
    assert isinstance(killed, ResourceError)
    assert str(killed).startswith("9 tasks of a.safetensors: 4 workers died at it, the last was tc")
    assert isinstance(own_error(MemoryError(), "a"), ResourceError)
    for error in (ModuleNotFoundError("No module named 'amssim'"), AttributeError("Can't get at")):
        assert isinstance(own_error(error, "a"), UnsupportedError | AttributeError)
    bug = AttributeError("'Task' object has no attribute 'x'")
    assert own_error(bug, "a") is bug
