"""Fill the tables of docs/ERROR.md from recorded results.

python analysis/error_tables.py [--check]
"""

from __future__ import annotations

from collections.abc import Callable

import error_formats
import markers
import numpy as np
import recorded
from error_summary import Summary

from amssim.error.sharing import DEFAULTS
from amssim.formats import Format, get
from amssim.rules import SEARCH_RULES

#: AMS with an absmax scale per row, from few bits to many, and the plain minifloats at the ends.
AMS_LINE = ("fp4-e2m1", "fp4.125-e2m2", "fp4.25-e2m2", "fp4.33-e2m2", "fp4.5-e2m2", "fp5-e2m2",
            "fp5.25-e2m3", "fp5.33-e2m3", "fp5.5-e2m3", "fp6-e2m3")  # fmt: skip
KINDS = {"normal": "normal", "t5": "Student-t5", "model": "model"}


def chosen(records: list[dict], **options) -> list[dict]:
    """Records with these options; the defaults for those not named."""
    wanted = DEFAULTS | options
    return [r for r in records if all(r[name] == value for name, value in wanted.items())]


def db(records: list[dict], name: str = "sqnr_db") -> str:
    """The figure of the only record, to two decimals."""
    (record,) = records
    return f"{record[name]:.2f}"


def k_table(study: dict) -> str:
    """SQNR for every element and k."""
    headings = ["weights", "element", *(f"k={k}" for k in range(1, 9))]
    rows = []
    for kind, title in KINDS.items():
        for element in ("e2m3", "e2m2", "e2m1", "e3m2"):
            cells = [db(chosen(study[kind], element=element, k=k)) for k in range(1, 9)]
            rows.append([title, element.upper(), *cells])
    return markers.table(headings, rows)


def search_table(study: dict) -> str:
    """SQNR of each search rule, and what adaptive gains over it."""
    headings = ["weights", "scheme", *SEARCH_RULES]
    rows = []
    for kind, title in KINDS.items():
        for element, k in (("e2m3", 2), ("e2m3", 3), ("e2m2", 3), ("e2m2", 4), ("e2m2", 8)):
            own = {
                rule: chosen(study[kind], element=element, k=k, search=rule)[0]["sqnr_db"]
                for rule in SEARCH_RULES
            }
            best = own["adaptive"]
            cells = [f"{v:.2f}" + (f" (-{best - v:.2f})" if v < best else "") for v in own.values()]
            rows.append([title, f"{element} k={k}", *cells])
    return markers.table(headings, rows)


def choice_table(study: dict) -> str:
    """SQNR of the published formats under each other choice."""
    choices = {
        "default options": {},
        "groups across rows": {"share_axis": "output"},
        "columns sorted by norm": {"order": "columns"},
        "each row sorted (a bound)": {"order": "magnitude"},
        "scale mse": {"scale": "mse"},
        "scale block 512": {"scale_block": 512},
        "scale block 256": {"scale_block": 256},
        "scale block 256, mse": {"scale_block": 256, "scale": "mse"},
        "scale block 128": {"scale_block": 128},
        "scale block 64": {"scale_block": 64},
        "scale block 64, mse": {"scale_block": 64, "scale": "mse"},
        "weighed by inputs": {"weighted": True},
        "weighed by inputs, mse": {"weighted": True, "scale": "mse"},
    }
    schemes = ("fp5.33-e2m3", "fp4.25-e2m2")
    headings = ["choice"]
    headings += [f"{title}, {s}" for s in schemes for title in KINDS.values()]
    headings += [f"model output, {s}" for s in schemes]
    rows = []
    for name, options in choices.items():
        cells = [name]
        cells += [_cell(study[kind], s, options) for s in schemes for kind in KINDS]
        cells += [_cell(study["model"], s, options, "output_sqnr_db") for s in schemes]
        rows.append(cells)
    return markers.table(headings, rows)


def _cell(records: list[dict], scheme: str, options: dict, figure: str = "sqnr_db") -> str:
    found = chosen(records, scheme=scheme, **options)
    value = found[0].get(figure) if found else None
    return "" if value is None else f"{value:.2f} ({found[0]['effective_bits']:.2f})"


def theory_table(records: list[dict]) -> str:
    """Measured over predicted mean squared error, by density and format."""
    names = list(dict.fromkeys(r["density"] for r in records))
    rows = {}
    for r in records:
        deviation = r["mse"] / r["predicted"] - 1
        rows.setdefault((r["scheme"], r["search"]), {})[r["density"]] = f"{100 * deviation:+.2f} %"
    body = [[*key, *(cells[name] for name in names)] for key, cells in rows.items()]
    return markers.table(["scheme", "search", *names], body)


def optimum_table(records: list[dict]) -> str:
    """Best formats for a budget by the closed form."""
    headings = ["budget", "weights", "best", "clip, sigma", "SQNR dB", "second", "SQNR dB"]
    rows = []
    for r in records:
        first, second = r["best"]
        cells = [f"`{first['scheme']}`", f"{first['clip']:.2f}", f"{first['sqnr_db']:.2f}"]
        cells += [f"`{second['scheme']}`", f"{second['sqnr_db']:.2f}"]
        rows.append([f"{r['budget']:g}", r["density"], *cells])
    return markers.table(headings, rows)


def ams_line(records: list[dict], figure: str) -> Callable[[float], float]:
    """A figure that AMS formats with an absmax scale per row reach at given bits, interpolated."""
    points = sorted((r["effective_bits"], r[figure]) for r in records if r["name"] in AMS_LINE)
    bits, figures = zip(*points, strict=True)
    return lambda at: float(np.interp(at, bits, figures))


def equal_bits_table(found: dict, model: list[dict], low: float, high: float) -> str:
    """Formats between two rates: bits and SQNR on each kind of weights, and perplexity."""
    by_kind = {k: {r["name"]: r for r in v["records"]} for k, v in found["random"].items()}
    own = {r["name"].removesuffix(", calibrated"): r for r in model}
    rows = []
    names = [n for n, r in by_kind["normal"].items() if low <= r["effective_bits"] <= high]
    for name in sorted(names, key=lambda n: -by_kind["normal"][n]["sqnr_db"]):
        cells = [f"{by_kind['normal'][name]['effective_bits']:.3f}"]
        cells += [f"{by_kind[kind][name]['sqnr_db']:.2f}" for kind in error_formats.DENSITIES]
        r = own.get(name)
        cells += _model_cells(r) if r else [""] * 5
        ours = by_kind["normal"][name]["family"].startswith("AMS")
        rows.append([f"**{name}**" if ours else name, *cells])
    headings = ["format", "bits", *error_formats.DENSITIES]
    headings += ["model bits", "model", "model output", "perplexity", "KL mean"]
    return markers.table(headings, rows)


#: The rows of each seed system.
SEEDS = {
    "SignRoundV2": ("signround4-g64", "signround5-g48"),
    "SOLO": ("solo4", "solo5-g96"),
    "FineQ": ("fineq4",),
    "RaZeR": ("razer",),
    "OPAL": ("opal4", "opal5"),
    "FLUTE": ("nfl4-g64", "nfl5-g48"),
    "SliM-LLM": ("slim-llm4-g80", "slim-llm5-g64"),
    "DB-LLM": ("db-llm4", "db-llm5-g240"),
    "OmniQuant": ("omniquant4-g80", "omniquant5-g64"),
    "SqueezeLLM": ("squeezellm4", "squeezellm4-sparse", "squeezellm5"),
}


def seed_table(model: list[dict]) -> str:
    """Each seed system on the language model, and what AMS with plain scales has at its bits."""
    own = {r["name"].removesuffix(", calibrated"): r for r in model}
    at = {figure: ams_line(model, figure) for figure in ("sqnr_db", "perplexity", "kl_mean")}
    rows = []
    for system, names in SEEDS.items():
        for name in names:
            f = _format(name)
            r = own[f.name]
            bits = r["effective_bits"]
            cells = [f"{bits:.3f}", f"{r['sqnr_db']:.2f}", f"{at['sqnr_db'](bits):.2f}"]
            cells += [f"{r['perplexity']:.4f}", f"{at['perplexity'](bits):.4f}"]
            cells += [f"{r['kl_mean']:.4f}", f"{at['kl_mean'](bits):.4f}"]
            rows.append([system, f"`{f.name}`", *cells])
    headings = ["system", "format", "bits", "SQNR dB", "AMS there", "perplexity", "AMS there"]
    return markers.table([*headings, "KL mean", "AMS there"], rows)


def simplified_table() -> str:
    """What is stored for each seed system, what is simplified, and what tests compare it with."""
    rows = []
    for system, names in SEEDS.items():
        f = _format(names[0])
        rows.append([system, f.source, f.formula, f.simplified or "nothing", f.checked])
    headings = ["system", "source", "bits per weight", "simplified", "checked against"]
    return markers.table(headings, rows)


def _format(name: str) -> Format:
    """A seed's format; OPAL's two outliers are an option, not a name."""
    return get(name, outliers=2) if name == "opal5" else get(name)


#: What can be added to a published format, by the name its record has.
EXTENSIONS = {
    "as published": "{}",
    "scale mse": "{} mse",
    "search weighs by inputs": "{} weighted, calibrated",
    "scale mse and search weigh by inputs": "{} mse weighted, calibrated",
    "joint scales and bits": "{} joint",
    "joint, weighed by inputs": "{} joint, calibrated",
    "columns by affinity": "{} by affinity, calibrated",
    "scheme per tensor, equal layers": "{} per tensor, calibrated",
    "scheme per tensor, by measured KL": "{} per tensor by KL, calibrated",
    "value for negative zero": "{} -0, calibrated",
    "error feedback": "gptq {}, calibrated",
    "error feedback, columns by importance": "gptq {} by importance, calibrated",
    "error feedback, joint scales": "gptq {} joint, calibrated",
    "error feedback, value for negative zero": "gptq {} -0, calibrated",
}
#: An extension pays if it saves this share of the KL divergence.
PAYS = 0.05


def extension_table(model: list[dict]) -> str:
    """Each extension of the published formats, and what it saves of the KL divergence."""
    own, rows = {r["name"]: r for r in model}, []
    headings = ["format", "extension", "bits", "SQNR dB", "output dB", "perplexity", "KL mean"]
    for scheme in ("fp4.25-e2m2", "fp5.33-e2m3"):
        for title, name in EXTENSIONS.items():
            r = own[name.format(scheme)]
            saved = 1 - r["kl_mean"] / own[scheme]["kl_mean"]
            verdict = "yes" if saved >= PAYS else "little" if saved > 0 else "no"
            change = [f"{-100 * saved:+.1f} %", verdict] if r is not own[scheme] else ["", ""]
            rows.append([scheme, title, *_model_cells(r), *change])
    return markers.table([*headings, "KL change", "pays"], rows)


def _model_cells(r: dict) -> list[str]:
    figures = [f"{r['effective_bits']:.3f}", f"{r['sqnr_db']:.2f}", f"{r['output_sqnr_db']:.2f}"]
    return [*figures, f"{r['perplexity']:.4f}", f"{abs(r['kl_mean']):.5f}"]


def model_table(stored: dict, groups: dict) -> str:
    """Every record of the language model, by bits."""
    headings = ["format", "bits", "SQNR dB", "output dB", "perplexity", "KL mean", "KL p99"]
    rows = [["as stored (BF16)", "16", "", "", f"{stored['perplexity']:.4f}", "", ""]]
    records = [r for g in groups.values() for r in g]
    for r in sorted(records, key=lambda r: (-r["effective_bits"], r["perplexity"])):
        bits, sqnr, output, perplexity, kl = _model_cells(r)
        rows.append([r["name"], bits, sqnr, output, perplexity, kl, f"{r['kl_p99']:.4f}"])
    return markers.table(headings, rows)


def parts() -> dict[str, str]:
    """Every generated part of the document by its marker."""
    study = recorded.load("error_study")["weights"]
    theory = recorded.load("error_theory")
    found, scored = recorded.load("error_formats"), recorded.load("error_model")
    groups, full = scored["groups"], recorded.load("error_model_full")
    model = [r for g in groups.values() for r in g]
    return {
        "summary": str(Summary(model)),
        "k": k_table(study),
        "search": search_table(study),
        "choices": choice_table(study),
        "theory": theory_table(theory["records"]),
        "optimum": optimum_table(theory["optimum"]),
        "at 4.25": equal_bits_table(found, model, 4.1, 4.55),
        "at 5.33": equal_bits_table(found, model, 5.0, 5.6),
        "extensions": extension_table(model),
        "seeds": seed_table(model),
        "simplified": simplified_table(),
        "model": model_table(scored["stored"], groups),
        "full": model_table(full["stored"], full["groups"]),
    }


if __name__ == "__main__":
    markers.main("docs/ERROR.md", parts(), __doc__)
