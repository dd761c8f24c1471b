"""Pages that are made of other files when the site is built: MkDocs calls the hook here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
from public_names import ROOT, by_page, is_package

# Of each page of public names: its title, and what stands below it.
API = {
    "codec": "Formats and codec\n\nSchemes, packed tensors, and the formats beside them.",
    "products": "Products\n\nFrom `x[batch, columns]` comes `out[batch, rows]`.",
    "gpu": "GPU\n\nPacked weights on NVIDIA GPUs. [How the kernels work](../KERNELS.md).",
    "checkpoints": "Checkpoints\n\nOne safetensors file, or a sharded directory.",
    "quality": "Quality\n\nWhat quantisation costs. [What was measured](../ERROR.md).",
    "lm": "Language models\n\nA Llama's forward pass from a checkpoint, and how well it predicts.",
    "models": "PyTorch\n\nPacked layers in models, loaded by transformers. [How](../MODELS.md).",
    "simulator": "Simulator\n\nPredicted latency and speedup. [How it works](../SIMULATOR.md).",
    "bench": "Benchmarks\n\nHow speed is measured, and the records that tables are made of.",
    "errors": "Errors and testing\n\nWhat bad input raises, and strategies for tests of your own.",
}

WITHOUT_OUTPUTS = """!!! note
    The notebook is stored without outputs. To see them, run `{path}` in Jupyter or an editor that
    knows notebooks, or `jupyter execute --inplace {path}` (extra `examples`) and open it."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand for files outside docs/."""
    pages = {"index.md": at_root("README.md"), "api/cli.md": command_line()}
    pages |= {name: at_root(name) for name in ("CONTRIBUTING.md", "CHANGELOG.md")}
    pages |= {f"api/{page}.md": api(page, names) for page, names in by_page().items()}
    for path in (ROOT / "examples").glob("*.ipynb"):
        pages[f"examples/{path.stem}.md"] = notebook(path)
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def at_root(name: str) -> str:
    """Return a document of the top level."""
    return linked((ROOT / name).read_text())


def linked(text: str) -> str:
    """Return Markdown of the top level or of examples/ with its links as the site has them."""
    text = re.sub(r"\]\((\.\./)?docs/", r"](\1", text)
    return re.sub(r"\]\((\.\./)?README\.md\)", r"](\1index.md)", text.replace(".ipynb)", ".md)"))


def notebook(path: Path) -> str:
    """Return the cells of a notebook as Markdown, with the outputs that are stored in it."""
    cells = json.loads(path.read_text())["cells"]
    parts = []
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(linked(text))
        else:
            parts += [_fenced(text, "python"), *map(_output, cell["outputs"])]
    if not any(cell.get("outputs") for cell in cells):
        parts.insert(1, WITHOUT_OUTPUTS.format(path=path.relative_to(ROOT)))
    return "\n\n".join(parts)


def _output(output: dict) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f"![figure](data:image/png;base64,{''.join(data['image/png']).strip()})"
    return _fenced("".join(output.get("text", data.get("text/plain", ""))))


def api(page: str, names: list[str]) -> str:
    """Return the reference page of some public names, for mkdocstrings to fill in."""
    return "\n\n".join([f"# {API[page]}", *map(_reference, names)])


def _reference(name: str) -> str:
    listed_apart = "\n    options:\n      members: false" if is_package(name) else ""
    return f"::: {name}{listed_apart}"


def command_line() -> str:
    """Return what every verb prints for --help."""
    verbs = re.findall(r"^    (\w+) ", _help(), re.M)
    parts = [f"## amssim {verb}\n\n{_fenced(_help(verb))}" for verb in verbs]
    return "\n\n".join(["# Command line", _fenced(_help()), *parts])


def _help(*verb: str) -> str:
    command = [sys.executable, "-m", "amssim", *verb, "--help"]
    wide = os.environ | {"COLUMNS": "88"}
    return subprocess.run(command, env=wide, capture_output=True, text=True, check=True).stdout


def _fenced(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```"
