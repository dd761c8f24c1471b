"""One word, one thing: every public name that two modules define stands here with its reason."""

from collections import defaultdict

import pytest

from source_tree import modules, public_definitions

SPECIFICATION = "the specification and the fast path that must equal it"
VERB = "the protocol of the command line: a verb adds its parser, runs, and names its JSON"
KERNEL = "the protocol of a CUDA kernel: its options, its arguments, its threads per block"
FORM = "the protocol of a form: each file answers the same questions about its words"
SCHEME = "the two published formats, as a scheme, as sizes of a launch, as words of a kernel"

#: Name -> why several modules may define it.
TWICE = {
    "FORM": FORM,
    "FP4_25": SCHEME,
    "FP5_33": SCHEME,
    "KERNEL": KERNEL,
    "MASK": FORM,
    "PAIRS": FORM,
    "SCHEMA": VERB,
    "SMALLEST_SCALE": SPECIFICATION,
    "THREADS": KERNEL,
    "TOP_PLACES": FORM,
    "add_parser": VERB,
    "arguments_of": KERNEL,
    "code_of": FORM,
    "decode_unit": FORM,
    "dequantize": SPECIFICATION,
    "device_rest_of": FORM,
    "fragment": FORM,
    "gemv": "the specification, its fast path on a CPU, and the same product on a GPU",
    "join_codes": FORM,
    "options_of": KERNEL,
    "pack": SPECIFICATION,
    "prepare": "what a product needs ahead: operands of a CPU, loaded kernels of a GPU",
    "quantize": SPECIFICATION,
    "rest_of": FORM,
    "run": f"{VERB}; and the emulator runs a kernel",
    "schemes": "the presets, and the Hypothesis strategy that draws them and all others",
    "slots_of": FORM,
    "unpack": SPECIFICATION,
    "word_of": FORM,
}


def definitions() -> dict[str, list[str]]:
    """Public name -> the modules that define it at their top level."""
    places = defaultdict(list)
    for module, path in modules().items():
        for name in sorted(set(public_definitions(path))):
            places[name].append(module)
    return places


def test_names_defined_twice_have_a_reason():
    twice = {name: places for name, places in definitions().items() if len(places) > 1}
    without = {name: places for name, places in twice.items() if name not in TWICE}
    assert not without, "\n".join(f"{n}: {', '.join(p)}" for n, p in without.items())


@pytest.mark.parametrize("name", TWICE)
def test_reasons_are_needed(name):
    assert len(definitions().get(name, [])) > 1, f"{name} is defined once: drop its reason"
