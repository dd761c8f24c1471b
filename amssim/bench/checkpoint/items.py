"""What the checkpoint benchmark runs: verbs on a large and on a tiny checkpoint, and ``cp``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from amssim.bench.checkpoint.interrupted import begin
from amssim.bench.checkpoint.page_cache import drop
from amssim.bench.checkpoint.process import Tree, Usage, run

WARM, COLD = "warm", "cold"
#: Copying is what no verb can be faster than; with waiting for the disk it promises as much.
COPY, SYNCED_COPY = "cp", "cp, fsync"
#: Shares of the work after which a run is killed, for another to continue.
CONTINUED = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Item:
    """A command on a ``checkpoint``, what goes before it untimed, and the folder that it writes."""

    name: str
    checkpoint: str
    tree: str
    cache: str
    command: Callable[[], Usage]
    writes: Path
    before: Callable[[], object] = lambda: None
    runs: list[Usage] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells it from all others."""
        return self.checkpoint, self.name, self.tree, self.cache

    def measure(self) -> None:
        """Run the command once and keep what it took; what it wrote is removed."""
        self.before()
        self.runs.append(self.command())
        shutil.rmtree(self.writes, ignore_errors=True)


@dataclass(frozen=True)
class Workplace:
    """A folder with a checkpoint ``model`` and one that takes no time, ``tiny``."""

    home: Path
    trees: tuple[Tree, ...]
    options: tuple[str, ...]

    @property
    def model(self) -> Path:
        """The large checkpoint."""
        return self.home / "model"

    @property
    def tiny(self) -> Path:
        """The one that takes no time."""
        return self.home / "tiny"

    @property
    def output(self) -> Path:
        """What a command writes."""
        return self.home / "output"

    def prepare(self) -> None:
        """Run everything once: it compiles, and makes the packed checkpoints that are read."""
        for tree in self.trees:
            for source in (self.model, self.tiny):
                tree.run("quantize", source, self._packed(source, tree), *self.options)
        for item in self._verbs(self.tiny, WARM):
            item.measure()

    def work(self, cache: str) -> Iterator[Item]:
        """Yield what handles all bytes of the large checkpoint."""
        copy = f"cp -r '{self.model}' '{self.output}'"
        for name, script in {COPY: copy, SYNCED_COPY: f"{copy} && sync '{self.output}'/*"}.items():
            command = partial(run, ("sh", "-c", script))
            before = partial(_before, cache, self.model)
            yield Item(name, "model", "", cache, command, self.output, before)
        yield from self._verbs(self.model, cache)

    def continued(self) -> Iterator[Item]:
        """Yield quantising what another run, which was killed, has begun."""
        own, words = self.trees[0], ("quantize", self.model, self.output, "--json", *self.options)
        begin(own, words, self.output, 1)
        tasks = json.loads(own.run(*words).output)["resumed"]["of_tasks"]
        shutil.rmtree(self.output)
        for share in CONTINUED:
            before = partial(begin, own, words, self.output, round(tasks * share))
            command = partial(own.run, *words)
            name = f"quantize, {share:.0%} done"
            yield Item(name, "model", own.name, WARM, command, self.output, before)

    def by_workers(self, count: int) -> Iterator[Item]:
        """Yield the jobs of this tree done by ``count`` processes."""
        trees = replace(self, trees=self.trees[:1])
        for line in ("quantize MODEL OUTPUT", "dequantize PACKED OUTPUT"):
            words = (*line.split(), "--workers", str(count), "--json")
            yield from trees._item(self.model, WARM, *words)

    def starts(self) -> Iterator[Item]:
        """Yield what takes little more than starting."""
        words = ("--help", "quantize --help", "schemes", "inspect PACKED")
        for line in (*words, "quantize MODEL OUTPUT --dry-run"):
            yield from self._item(self.tiny, WARM, *line.split())
        yield from self._verbs(self.tiny, WARM)

    def _verbs(self, source: Path, cache: str) -> Iterator[Item]:
        verbs = ("quantize MODEL OUTPUT", "verify PACKED", "verify PACKED --source MODEL")
        for line in (*verbs, "dequantize PACKED OUTPUT"):
            yield from self._item(source, cache, *line.split(), "--json", *self.options)

    def _item(self, source: Path, cache: str, *words: str) -> Iterator[Item]:
        """Yield a command for each tree; capitals in its words name folders."""
        name = " ".join(w for w in words if not w.isupper() and w not in ("--json", *self.options))
        for tree in self.trees:
            packed = self._packed(source, tree)
            places = {"MODEL": source, "PACKED": packed, "OUTPUT": self.output}
            command = partial(tree.run, *(places.get(word, word) for word in words))
            before = partial(_before, cache, packed if "PACKED" in words else source)
            yield Item(name, source.name, tree.name, cache, command, self.output, before)

    def _packed(self, source: Path, tree: Tree) -> Path:
        return self.home / f"{source.name}-packed-{tree.name}"


def _before(cache: str, reads: Path) -> None:
    if cache == COLD:
        drop(reads)
