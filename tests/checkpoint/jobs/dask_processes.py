"""A Dask scheduler and workers as a person starts them, from another directory."""

import os
import re
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[3]
CLI = [sys.executable, "-P", "-m"]


class Scheduler:
    """``dask scheduler`` on a free port; ``address`` is what it prints."""

    def __init__(self, folder: Path):
        self._folder, self._processes = folder, []
        words = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
        process = self._start([*words, "--no-dashboard"], stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if found := re.search(r"Scheduler at:\s+(tcp://\S+)", line):
                self.address = found[1]
                break
        # what it says from now on has to go somewhere, or it would wait for a reader
        threading.Thread(target=process.stderr.read, daemon=True).start()

    def add_workers(self, count: int, *options: str, path: Path = ROOT) -> subprocess.Popen:
        """``dask worker`` with ``count`` processes that find packages in ``path``."""
        words = ["distributed.cli.dask_worker", self.address, "--nworkers", str(count)]
        words += ["--nthreads", "1", "--no-dashboard", *options]
        environment = os.environ | {"PYTHONPATH": str(path)}
        return self._start(words, stderr=subprocess.DEVNULL, env=environment)

    def close(self) -> None:
        for process in reversed(self._processes):
            process.kill()  # a worker process ends with the one that started it
            process.wait(30)
            if process.stderr:
                process.stderr.close()

    def _start(self, words: list[str], **options) -> subprocess.Popen:
        process = subprocess.Popen(
            [*CLI, *words], cwd=self._folder, stdout=subprocess.DEVNULL, **options
        )
        self._processes.append(process)
        return process


def scheduler(folder: Path) -> closing:
    return closing(Scheduler(folder))
