"""The report's page: well formed, complete in itself, and saying what it was given."""

from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amssim._text import shown as printable
from amssim.figures import CYCLE, MARKERS, RC, figure, file_bytes, look, styled, svg
from amssim.quality.layers.layer import LinearLayer
from amssim.quality.recipes.recipe import recipe
from amssim.quality.report import contents
from amssim.quality.report.page import Page

VOID = {"meta", "link", "br", "img", "use", "path", "rect", "circle"}


class Reader(HTMLParser):
    """Checks that elements nest, and gathers texts, ids and what is loaded from elsewhere."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.ids, self.loaded = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and not value.startswith(("#", "data:")):
                self.loaded.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(page: Page) -> Reader:
    reader = Reader()
    reader.feed(page.html())
    reader.close()
    assert not reader.open and len(set(reader.ids)) == len(reader.ids)
    assert not reader.loaded and "script" not in page.html().split("<body>")[0]
    return reader


TEXT = st.text(max_size=30)


@given(TEXT, TEXT, TEXT, TEXT)
def test_any_text_is_shown_as_it_is(title, heading, text, cell):
    page = Page(title)
    page.heading(heading)
    page.text(text, note=True)
    page.table(["format", cell], [[cell, "1"]])
    texts = read(page).texts
    for shown in filter(None, (title, heading, text, cell)):
        assert "\n".join(map(printable, shown.split("\n"))) in texts


def test_our_rows_stand_out():
    page = Page("t")
    page.table(["format"], [["fp4.25-e2m2"], ["nf4"]], ours=lambda row: row[0].startswith("fp"))
    assert '<tr class="ours"><td>fp4.25-e2m2</td></tr>' in page.html()
    assert "<tr><td>nf4</td></tr>" in page.html()


@styled
def drawn(count=2):
    made, (ax,) = figure()
    for i in range(count):
        ax.plot([0, 1], [i, i + 1], label=str(i), **look(i))
    ax.legend()
    return made


def test_figures_of_a_page_have_ids_of_their_own():
    page = Page("t")
    page.figure(drawn())
    page.figure(drawn())
    assert page.html().count("<svg") == 2
    assert len(read(page).ids) > 20


def test_series_cycle_through_colours_and_markers():
    looks = [look(i) for i in range(2 * len(CYCLE))]
    assert looks[: len(CYCLE)] == looks[len(CYCLE) :]
    assert len({(x["color"], x["marker"]) for x in looks}) == len(CYCLE) == len(MARKERS)


def test_the_style_holds_inside_and_leaves_the_rest_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    inside = styled(lambda: {name: matplotlib.rcParams[name] for name in RC})()
    assert dict(matplotlib.rcParams) == before
    assert inside["font.size"] == RC["font.size"] and inside["svg.hashsalt"] == "amssim"
    assert drawn().axes[0].spines["top"].get_visible() is False


@pytest.mark.parametrize(
    ("kind", "head"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_files_of_each_kind(kind, head):
    assert file_bytes(drawn(), kind).startswith(head)


def test_the_same_figure_has_the_same_bytes():
    assert file_bytes(drawn(), "svg") == file_bytes(drawn(), "svg")
    assert svg(drawn(3)) != svg(drawn(2))


def layers():
    rng = np.random.default_rng(4)
    for i in range(3):
        weights = rng.standard_t(5 + i, (16, 64)).astype(np.float32)
        yield LinearLayer(f"model.layers.{i}.mlp.up_proj.weight", weights)


def test_the_comparison_of_formats_is_a_table_by_bits():
    page = Page("t")
    contents.add_formats(page, layers(), [recipe("fp5.33"), recipe("fp4.25"), recipe("int4-g32")])
    texts = read(page).texts
    bits = [float(texts[texts.index(n) + 1]) for n in ("int4-g32", "fp4.25-e2m2", "fp5.33-e2m3")]
    assert bits == sorted(bits) and bits[0] == 4.5
    assert page.html().count("<svg") == 4  # bits, tails, a map for each of ours


def test_perplexity_is_shown_for_the_model_as_stored_and_each_format():
    stored = {"name": "as stored", "family": "as stored", "perplexity": 5.5, "tokens": 12345}
    record = {"name": "fp4.25-e2m2", "family": "AMS", "perplexity": 5.75, "effective_bits": 4.3125,
              "kl_mean": 0.031, "kl_p99": 0.25}  # fmt: skip
    page = Page("t")
    contents.add_perplexity(page, [stored, record])
    texts = read(page).texts
    at = texts.index("fp4.25-e2m2")
    assert texts[at + 1 : at + 5] == ["4.312", "5.7500", "0.0310", "0.2500"]
    assert "5.5000" in texts
    assert any("12,345 predicted tokens" in text for text in texts)


def test_names_of_layers_are_neither_mathematics_nor_control_characters():
    names = [
        "a.0.\x1b[2Jb.weight",
        "a.1.$x_{$.weight",
        "a.2." + "<b>" * 999,
        "a.3.重み",
        "1" * 4096,
    ]
    layers = [LinearLayer(name, np.eye(4, 32, dtype=np.float32)) for name in names]
    page = Page("t")
    contents.add_formats(page, layers, [recipe("fp4.25")])
    html = page.html()
    assert html.replace("\n", "").isprintable() and "<b>" not in html
