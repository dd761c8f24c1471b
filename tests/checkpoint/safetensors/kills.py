"""Small runs of staging that are killed at a chosen call to the system, and what must hold then.

Run as a program it tries kill points: ``kills.py FOLDER STEP [SCENARIO ...]`` tries every
STEP-th point of each scenario, once followed by the same command and once by a second kill; it
prints how many and stops at the first fault. ``kills.py --once SCENARIO FOLDER`` does one run.
"""

import json
import os
import random
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

from amssim import MismatchError, OutputError
from amssim.checkpoint.safetensors.half_published import check_not_half_published
from amssim.checkpoint.safetensors.staging import Staging
from amssim.checkpoint.safetensors.target import Target

CALLS = (
    "open", "close", "mkdir", "rename", "link", "unlink", "rmdir", "write", "pwrite", "ftruncate",
    "fsync", "stat", "fstat", "listdir",
)  # fmt: skip
OLD = {"a": b"old a" * 30, "c": b"old c"}
NEW = {"a": b"new a" * 50, "b": b"new b" * 40, "c": b"new c"}
OTHER = {"a": b"other a", "b": b"other b", "c": b"other c"}
NOTES = {"notes.txt": b"mine"}


class Scenario:
    """A folder with an output to be made in it, and things that are none of amssim's."""

    def __init__(self, name: str, folder: Path):
        self.name, self.folder, self.out = name, folder, folder / "out"
        self.is_file = name.startswith("file")
        if self.is_file:
            self.out = folder / "a"

    def prepare(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "beside.txt").write_bytes(b"beside")
        if self.name == "in place":
            self.out.mkdir()
            for name, content in (OLD | NOTES).items():
                (self.out / name).write_bytes(content)
        elif self.name == "empty":
            self.out.mkdir()
        elif self.name == "file over":
            self.out.write_bytes(OLD["a"])

    @property
    def old(self) -> dict[str, bytes] | None:
        """Contents of the output before; None where it is not there."""
        if self.is_file:
            return {"a": OLD["a"]} if self.name == "file over" else None
        return {"in place": OLD | NOTES, "empty": {}, "new": None}[self.name]

    def new(self, files=NEW) -> dict[str, bytes]:
        if self.is_file:
            return {"a": files["a"]}
        return files | (NOTES if self.name == "in place" else {})

    def run(self, files=NEW, run="1", overwrite=False, **options) -> None:
        overwrite = overwrite or self.name in ("in place", "file over")
        names = ("a",) if self.is_file else tuple(files)
        in_place = not self.is_file and self.out.is_dir()
        target = Target(self.out, names, overwrite, is_file=self.is_file, in_place=in_place)
        with Staging.open(target, {"run": run}, **options) as staging:
            if staging.published:
                return
            done = {line["name"]: line["size"] for line in staging.read_progress()}
            for name in names:
                path = staging.directory / name
                if name in done and path.exists() and path.read_bytes() == files[name]:
                    continue
                descriptor = staging.create(name, len(files[name]))
                try:
                    os.pwrite(descriptor, files[name], 0)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                staging.append({"name": name, "size": len(files[name])})
            staging.publish()

    def found(self) -> dict[str, bytes] | None:
        """What a reader finds; MismatchError while it is half published."""
        if self.is_file:
            return {"a": self.out.read_bytes()} if self.out.exists() else None
        if not self.out.exists():
            return None
        check_not_half_published(self.out)
        return {p.name: p.read_bytes() for p in self.out.iterdir() if p.is_file()}

    def check_reader(self, *allowed) -> None:
        try:
            found = self.found()
        except MismatchError:
            notes = self.out / "notes.txt"
            assert self.name != "in place" or notes.read_bytes() == b"mine"
        else:
            assert found in allowed, f"a reader finds {found}"
        assert (self.folder / "beside.txt").read_bytes() == b"beside"

    def check_clean(self, expected) -> None:
        assert self.found() == expected
        assert sorted(p.name for p in self.folder.iterdir()) == sorted(
            {"beside.txt", self.out.name}
        )
        assert self.is_file or {p.name for p in self.out.iterdir()} == set(expected)


SCENARIOS = ("new", "in place", "empty", "file", "file over")


class Killer:
    """Counts calls of `os` that mention no file of Python's own and ends the process at one."""

    def __init__(self, at: int):
        self.at, self.count = at, 0

    def install(self) -> None:
        for name in CALLS:
            setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name: str, call):
        def counted(*arguments, **options):
            self.count += 1
            if self.count == self.at:
                if name in ("write", "pwrite"):  # torn: half of it arrives
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2], *arguments[2:])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return counted


def killed(work, at: int) -> int:
    """Do ``work`` in a child that dies at call ``at``; return its calls if there were fewer."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        say = os.write
        try:
            killer = Killer(at)
            killer.install()
            work()
        except BaseException as error:
            say(write, f"{type(error).__name__}: {error}".encode())
            os._exit(1)
        say(write, str(killer.count).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:  # noqa: PTH123
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return 0
    assert os.WEXITSTATUS(status) == 0, said
    return int(said)


def try_point(scenario: Scenario, at: int, after: str) -> None:
    """Kill a run, look, do what ``after`` says, and look again."""
    scenario.prepare()
    killed(scenario.run, at)
    scenario.check_reader(scenario.old, scenario.new())
    if after == "again":
        run_again(scenario)
        scenario.check_clean(scenario.new())
    elif after == "killed again":
        generator = random.Random(at)
        for _ in range(3):
            killed(partial(run_again, scenario), generator.randrange(1, 60))
            scenario.check_reader(scenario.old, scenario.new())
        run_again(scenario)
        scenario.check_clean(scenario.new())
    elif after == "damaged":
        damage_staged(scenario)
        run_again(scenario)
        scenario.check_clean(scenario.new())
    else:
        try:
            scenario.run(OTHER, "2", overwrite=True)
        except OutputError as error:
            assert "--restart" in str(error), error
            scenario.check_reader(scenario.old, scenario.new())
            scenario.run(OTHER, "2", overwrite=True, restart=True)
        scenario.check_clean(scenario.new(OTHER))


def run_again(scenario: Scenario) -> None:
    """Give the same command; what was complete already may be refused, and be overwritten."""
    try:
        scenario.run()
    except OutputError as error:
        assert "exists" in str(error) or "is not empty" in str(error)
        assert scenario.found() == scenario.new()
        scenario.run(overwrite=True)


def damage_staged(scenario: Scenario) -> None:
    """Flip a byte of a staged file that has not got its name, as a bad disk would."""
    for path in sorted(scenario.folder.rglob("files/*")):
        content = path.read_bytes()
        if path.stat().st_nlink == 1 and content:
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
            return


AFTER = ("again", "killed again", "damaged", "other")


def main(folder: Path, step: int, names) -> dict[str, int]:
    points = {}
    for name in names or SCENARIOS:
        scenario = Scenario(name, folder / name.replace(" ", "-"))
        scenario.prepare()
        total = killed(scenario.run, 0)
        points[name] = total
        for at in range(1, total + 1, step):
            for after in AFTER if step == 1 else [AFTER[(at // step) % len(AFTER)]]:
                try:
                    try_point(scenario, at, after)
                except BaseException:
                    print(f"{name}, killed at call {at} of {total}, then {after}:", file=sys.stderr)
                    raise
    return points


if __name__ == "__main__":
    if sys.argv[1] == "--once":
        Scenario(sys.argv[2], Path(sys.argv[3])).run()
    else:
        print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))
