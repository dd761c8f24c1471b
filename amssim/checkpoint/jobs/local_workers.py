"""Worker processes on this machine, started as a person starts them, and ended with the run.

The scheduler runs in this process, so it and its workers are gone with it however it ends. Workers
are processes of their own command: unlike those that `distributed` forks or spawns for a
LocalCluster they change nothing in this process's environment (a LocalCluster leaves the number of
BLAS threads and a fixed hash seed there), and the caller's main module is not imported again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from distributed import LocalCluster

from amssim.errors import ResourceError

#: Whatever computes in a worker does so in one thread, so that workers share out the processors.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
_WITHOUT_SCHEDULER_SECONDS = "20"


class LocalWorkers:
    """The processes, and what they last said where one ended."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], log: IO[bytes]):
        self._processes, self._log = processes, log

    def check(self) -> None:
        """Raise `ResourceError` if none is left."""
        if all(process.poll() is not None for process in self._processes):
            raise ResourceError(
                f"all {len(self._processes)} worker processes have ended (the last: "
                f"{self._last_words()}): see whether memory ran out, and give the same command "
                "again, which continues"
            )

    def _last_words(self) -> str:
        """Return the code of the last process and the last line of the log."""
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").split("\n")]
        said = next((line for line in reversed(lines) if line), "nothing was logged")
        return f"exit code {self._processes[-1].returncode}, {said}"

    def end(self) -> None:
        """End them at once: what they had in hand is done again by whoever continues."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()


@contextmanager
def local_workers(count: int, threads: int) -> Iterator[tuple[str, LocalWorkers]]:
    """Yield a scheduler's address on this machine and ``count`` workers of ``threads`` threads."""
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="amssim-workers-"))
        log = stack.enter_context(open(Path(scratch, "log"), "w+b"))  # noqa: PTH123  one code
        cluster = LocalCluster(
            n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=False
        )
        stack.callback(cluster.close, timeout=10)
        command = _command(cluster.scheduler_address, threads, scratch)
        processes: list[subprocess.Popen[bytes]] = []
        workers = LocalWorkers(processes, log)
        stack.callback(workers.end)
        for _ in range(count):
            processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=_environment(),
                    start_new_session=True,  # Ctrl-C is for this process, which then ends them
                )
            )
        yield cluster.scheduler_address, workers


def _command(address: str, threads: int, scratch: str) -> list[str]:
    options = {
        "--nthreads": str(threads),
        "--memory-limit": "0",  # tasks hold what the plan says; nothing is kept between them
        "--local-directory": scratch,
        "--death-timeout": _WITHOUT_SCHEDULER_SECONDS,
        "--host": "127.0.0.1",
    }
    words = [word for option in options.items() for word in option]
    start = [sys.executable, "-P", "-m", "distributed.cli.dask_worker", address]
    return [*start, "--no-nanny", "--no-dashboard", *words]


def _environment() -> dict[str, str]:
    """Return that of this process, by which a worker finds this amssim and no other."""
    here = str(Path(__file__).parents[3])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(paths)}
