"""Documents say what the code says: tables, links, examples and commands in them are tried."""

import argparse
import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from amssim.cli.entry import make_parser

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("analysis/*.md")])
TABLES = sorted(
    path
    for path in ROOT.glob("analysis/*.py")
    if "markers.main(" in (text := path.read_text()) and '__name__ == "__main__"' in text
)
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")
COMMAND = re.compile(r"(?:^|`)(amssim +[a-z][^`\n]*)", re.MULTILINE)


def by_path(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


# --- tables -----------------------------------------------------------------------------------


def test_there_are_scripts_for_the_tables_of_five_documents():
    assert {"format_tables", "readme_tables", "error_tables"} <= {path.stem for path in TABLES}
    assert len(TABLES) >= 6


@pytest.mark.parametrize("script", TABLES, ids=by_path)
def test_tables_are_what_their_script_makes(script):
    command = [sys.executable, script.name, "--check"]
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True)
    if "shared" in done.stderr and not (ROOT.parent / "shared").is_dir():
        pytest.skip("what is recorded about the reference model lies beside the project")
    assert done.returncode == 0, done.stderr


def test_a_table_that_was_edited_is_reported(tmp_path):
    """The check itself can fail: a copy of one script, and of its document with a row too many."""
    for folder, name in [("analysis", "format_tables.py"), ("analysis", "markers.py")]:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text((ROOT / folder / name).read_text())
    edited = re.sub(r"(<!-- \w+ -->\n)", r"\1| odd |\n", (ROOT / "docs" / "FORMAT.md").read_text())
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "FORMAT.md").write_text(edited)
    command = [sys.executable, "format_tables.py", "--check"]
    done = subprocess.run(command, cwd=tmp_path / "analysis", capture_output=True, text=True)
    assert done.returncode == 1
    assert "docs/FORMAT.md is out of date: run python format_tables.py" in done.stderr


def test_every_marked_part_has_its_end():
    for path in DOCUMENTS:
        opened = re.findall(r"^<!-- (\w[\w-]*) -->$", path.read_text(), re.MULTILINE)
        closed = re.findall(r"^<!-- /(\w[\w-]*) -->$", path.read_text(), re.MULTILINE)
        assert opened == closed and len(set(opened)) == len(opened), by_path(path)


# --- links ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_path)
def test_links_lead_somewhere(path):
    for target, anchor in LINK.findall(prose(path)):
        if ":" in target:
            continue
        other = path.parent / target if target else path
        assert other.is_file(), f"{by_path(path)} links to {target}, which is no file"
        if anchor:
            assert anchor in anchors(other), f"{by_path(path)} links to {target}#{anchor}"


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def test_every_document_and_figure_is_linked():
    linked = {
        (path.parent / target).resolve()
        for path in DOCUMENTS
        for target, _ in LINK.findall(path.read_text())
        if target and ":" not in target
    }
    files = {*ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/figures/*")}
    assert not sorted(by_path(path) for path in files - linked)


def test_a_word_of_the_glossary_means_one_thing():
    """Or each row says of what: `group (of warpgroups)`."""
    rows = re.findall(r"^\| (.+?) \| .+ \|$", (ROOT / "docs" / "GLOSSARY.md").read_text(), re.M)
    words = [word for row in rows if row != "term" for word in row.split(", ")]
    assert sorted(set(words)) == sorted(words)
    assert not {w for w in words if "(" not in w} & {w.split(" (")[0] for w in words if "(" in w}


# --- examples and commands --------------------------------------------------------------------


def python_blocks() -> list:
    found = []
    for path in DOCUMENTS:
        blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        found += [pytest.param(code, id=f"{path.stem}-{n}") for n, code in enumerate(blocks)]
    return found


@pytest.mark.parametrize("code", python_blocks())
def test_python_in_documents_runs(code, tmp_path, monkeypatch):
    """And where a comment beside a variable shows it, that is how it looks."""
    if "to_gpu()" in code or "cuda_kernels" in code:
        pytest.skip("needs a GPU")
    if "amssim.torch" in code:
        pytest.skip("tests/torch_models runs it")
    monkeypatch.chdir(tmp_path)
    weights = np.random.default_rng(0).standard_normal((64, 256), dtype=np.float32)
    names = {"weights": weights, "moments": np.ones(256, np.float32)}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, "document", "exec"), names)
    for name, shown in re.findall(r"^(\w+)  # (\w+\(.*\))$", code, re.MULTILINE):
        assert repr(names[name]) == shown


@pytest.mark.parametrize("path", DOCUMENTS, ids=by_path)
def test_commands_are_those_of_the_command_line(path):
    parser = make_parser()
    for line in COMMAND.findall(path.read_text()):
        words = shlex.split(line, comments=True)[1:]
        if words and "--help" not in words and len(words) > 1:
            try:
                with contextlib.redirect_stderr(io.StringIO()) as told:
                    parser.parse_args(words)
            except SystemExit:
                pytest.fail(f"{by_path(path)} says {line!r}: {told.getvalue().splitlines()[-1]}")


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """The options of a verb, those of all its targets if it has targets."""
    own = {option for action in parser._actions for option in action.option_strings}
    targets = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    below = [options_of(target) for a in targets for target in a.choices.values()]
    return own | set.intersection(*below) if below else own


def test_the_readme_says_which_verbs_print_json():
    parser = make_parser()
    (verbs,) = (a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    without = [name for name, verb in verbs.items() if "--json" not in options_of(verb)]
    named = " and ".join(f"`{name}`" for name in sorted(without))
    assert f"all but {named} have `--json`" in (ROOT / "README.md").read_text()


def test_blocks_of_the_readme_fit_a_page():
    readme = (ROOT / "README.md").read_text()
    for block in re.findall(r"^```\w*\n(.*?)^```", readme, re.MULTILINE | re.DOTALL):
        assert max(map(len, block.splitlines())) <= 88


def test_ci_runs_the_test_command_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    (command,) = re.findall(r"^python -m pip install -e '\.\[test\]' && pytest$", readme, re.M)
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == command


@pytest.mark.parametrize("path", [ROOT / "CONTRIBUTING.md", ROOT / ".ci" / "run"], ids=by_path)
def test_sessions_are_those_of_the_noxfile(path):
    sessions = set(re.findall(r"^@nox.session\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.M))
    text = path.read_text()
    if path.suffix == ".md":
        named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", text, re.M))))
        assert named == sessions
    else:
        (named,) = re.findall(r"--session ([\w ]+)$", text, re.M)
        assert set(named.split()) == sessions - {"tests"}  # that one runs as the README says


def test_scripts_of_analysis_are_in_its_readme():
    listed = re.findall(r"`(\w+\.py)`", (ROOT / "analysis" / "README.md").read_text())
    assert set(listed) == {path.name for path in ROOT.glob("analysis/*.py")}
