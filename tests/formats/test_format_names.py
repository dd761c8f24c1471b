"""Names that users type: each finds its format, with the columns of a scale at its end."""

import inspect
from dataclasses import fields

import numpy as np
import pytest

from amssim import formats
from amssim.errors import SchemeError
from amssim.formats import Format, QuantizedMatrix, StoredPart, find_format, format_names

#: Names that are written into records and command lines, with the name that tables show.
KEPT = {
    "fp5.33": "fp5.33-e2m3",
    "fp4.25": "fp4.25-e2m2",
    "ams-e2m2-k8": "fp4.125-e2m2",
    "fp4.25-g256": "fp4.25-e2m2 g256",
    "int4": "int4-g64",
    "int4-g32": "int4-g32",
    "int4-asym-g80": "int4-asym-g80",
    "INT5-G48": "int5-g48",
    " nf4-g16 ": "nf4-g16",
    "nfl5-g48": "nfl5-g48",
    "mxfp4": "mxfp4-e2m1",
    "mxfp4-searched": "mxfp4-e2m1 searched",
    "mxfp6-e2m3": "mxfp6-e2m3",
    "nvfp4-searched": "nvfp4 searched",
    "razer": "razer",
    "squeezellm4-sparse": "squeezellm4 0.0045",
    "omniquant4-g80": "omniquant4-g80",
    "slim-llm4-g80": "slim-llm4-g80",
    "db-llm5-g240": "db-llm5-g240",
    "fineq4": "fineq4",
    "opal4-g64": "opal4-n1-g64",
    "solo5-g96": "solo5-g96",
    "signround5-g48": "signround5-g48",
    "gptq-fp4.25": "gptq fp4.25-e2m2",
    "gptq-int4": "gptq int4-g64",
}


@pytest.mark.parametrize(("name", "shown"), KEPT.items())
def test_names_stay_what_they_were(name, shown):
    assert find_format(name).name == shown


@pytest.mark.parametrize("name", format_names())
def test_every_listed_name_is_found(name):
    form = find_format(name)
    assert isinstance(form, Format) and form == find_format(name.upper())
    assert form.family and form.source.strip() and form.formula.strip() and form.checked.strip()


def blocked():
    forms = (find_format(name) for name in format_names())
    return {type(f).__name__: n for n, f in zip(format_names(), forms, strict=True)
            if "scale_block" in {x.name for x in fields(f)}}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), blocked().items())
def test_a_number_at_the_end_is_the_scale_block(kind, name):
    by_name, by_option = find_format(f"{name}-g24"), find_format(name, scale_block=24)
    assert type(by_name).__name__ == kind
    assert by_name == by_option and by_name.scale_block == 24
    # what one scale or factor covers is what the declared parts say
    shape = (5, 100)
    stored = by_name.quantize(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    assert any(part.shape[:2] == (5, 5) for part in by_name.layout(shape).values())
    assert stored.effective_bits == by_name.bits_per_weight(shape)


@pytest.mark.parametrize("kind", {type(find_format(n)) for n in format_names()}, ids=str)
def test_no_format_calls_its_columns_a_group(kind):
    names = {field.name for field in fields(kind)}
    assert not names & {"group", "block", "group_size", "block_size"}
    keyword_only = list(inspect.signature(kind).parameters.values())[1:]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in keyword_only)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("nf9", {}, "unknown format 'nf9': choose one of int4, int5"),
        ("", {}, "unknown format ''"),
        ("nf4-g", {}, "unknown format 'nf4-g'"),
        ("nf4-g0", {}, "scale_block must be a positive whole number, found 0"),
        ("fineq4-g32", {}, "format 'fineq4-g32' has no scale_block: it has bits"),
        ("int4", {"planes": 2}, "format 'int4' has no planes: it has bits, scale_block"),
        ("int4", {"bits": 1}, "int takes 2 to 8 bits, found 1"),
        ("opal4-g1", {}, "opal takes fewer outliers than a block has weights, found 1 of 1"),
        ("db-llm2", {"planes": 7}, "db-llm takes up to 6 planes, found 7"),
        ("fineq2", {"bits": 3}, "fineq takes 2 or 4 bits, found 3"),
        ("solo4", {"quantile": 1.5}, "solo takes a quantile from 0 to 1, found 1.5"),
        ("squeezellm4", {"outliers": 1.0}, "a share from 0 to below 1, found 1.0"),
        ("nvfp4", {"factors": ()}, "factors must have at least one entry"),
        ("razer", {"specials": ()}, "specials must have at least one entry"),
        ("mxfp4", {"element": "e2"}, "unknown element 'e2': expected a minifloat such as e2m1"),
        ("fp4.25", {"search": "best"}, "unknown search"),
        (4, {}, "a format's name is text such as 'nf4', found 4"),
    ],
)
def test_names_and_parameters_that_are_refused(name, parameters, message):
    with pytest.raises(SchemeError, match=message):
        find_format(name, **parameters)


def test_public_names_have_docstrings():
    assert set(formats.__all__) >= {"find_format", "format_names", "Ams", "NegativeZero"}
    for name in formats.__all__:
        assert inspect.getdoc(getattr(formats, name)), name


def test_what_is_stored_knows_its_format():
    form = find_format("int4-g4")
    stored = form.quantize(np.float32([[1, -2, 3, -4]]))
    assert isinstance(stored, QuantizedMatrix) and stored.format is form
    assert form.layout((1, 4)) == {"codes": StoredPart((1, 4), 4), "scales": StoredPart((1, 1), 16)}
    assert stored.dequantize().tolist() == [[1, -2, 3, -4]]
