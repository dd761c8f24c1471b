"""Every figure in docs/figures is shown by a page, every link shows one, and scripts draw those."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "docs" / "figures"
LINK = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)|<img[^>]*src=\"([^\"]+)\"")
#: Prints the names of the figures that the script would save, and what each is.
DRAW = """\
import sys; sys.path.insert(0, "analysis")
import style
style.save = lambda figure, name: print(name, type(figure).__name__)
import runpy; runpy.run_path("analysis/error_figures.py", run_name="__main__")
"""


def linked() -> dict[Path, Path]:
    """Each local figure that a page links, and the page."""
    found = {}
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in (a or b for a, b in LINK.findall(page.read_text())):
            if "://" not in link:
                found[(page.parent / link).resolve()] = page
    return found


def test_every_link_shows_a_figure():
    pages = linked()
    assert len(pages) >= 14
    missing = [f"{page.name}: {path.name}" for path, page in pages.items() if not path.is_file()]
    assert not missing


def test_every_figure_is_shown():
    stored = {path.resolve() for path in FIGURES.iterdir()}
    assert not {path.name for path in stored - set(linked())}


def test_figures_are_scalable_and_load_nothing():
    for path in FIGURES.iterdir():
        assert path.suffix == ".svg", path.name
        text = path.read_text()
        assert text.count("<svg") == 1 and "<script" not in text and "<dc:date>" not in text
        assert not re.search(r"(?:href|src)=\"(?!#|data:)", text), path.name


def test_the_script_draws_what_the_page_shows():
    command = [sys.executable, "-c", DRAW]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    drawn = dict(line.split() for line in done.stdout.splitlines())
    assert set(drawn.values()) == {"Figure"}
    assert set(drawn) == {p.stem for p in FIGURES.iterdir() if p.name.startswith("error_")}
