"""Tables of docs/ERROR.md about the language model: rivals, seed systems, extensions."""

from __future__ import annotations

from collections.abc import Callable

import error_formats
import markers
import numpy as np

from amssim.formats import Format, find_format

#: AMS with an absmax scale per row, from few bits to many, and the plain minifloats at the ends.
AMS_LINE = ("fp4-e2m1", "fp4.125-e2m2", "fp4.25-e2m2", "fp4.33-e2m2", "fp4.5-e2m2", "fp5-e2m2",
            "fp5.25-e2m3", "fp5.33-e2m3", "fp5.5-e2m3", "fp6-e2m3")  # fmt: skip


def ams_line(records: list[dict], figure: str) -> Callable[[float], float]:
    """A figure that AMS formats with an absmax scale per row reach at given bits, interpolated."""
    points = sorted((r["effective_bits"], r[figure]) for r in records if r["name"] in AMS_LINE)
    bits, figures = zip(*points, strict=True)
    return lambda at: float(np.interp(at, bits, figures))


def equal_bits_table(results: dict, model: list[dict], low: float, high: float) -> str:
    """Formats between two rates: bits and SQNR on each kind of weights, and perplexity.

    Random weights have no inputs: what formats do without them is compared there.
    """
    by_kind = {k: {r["name"]: r for r in v["records"]} for k, v in results["random"].items()}
    own = {r["name"].removesuffix(", calibrated"): r for r in model}
    rows = []
    names = [n for n, r in by_kind["normal"].items() if low <= r["effective_bits"] <= high]
    for name in sorted(names, key=lambda n: -by_kind["normal"][n]["sqnr_db"]):
        cells = [f"{by_kind['normal'][name]['effective_bits']:.3f}"]
        cells += [f"{by_kind[kind][name]['sqnr_db']:.2f}" for kind in error_formats.DENSITIES]
        r = own.get(name)
        cells += [_seen(r), *_model_cells(r)] if r else [""] * 6
        ours = by_kind["normal"][name]["family"].startswith("AMS")
        rows.append([f"**{name}**" if ours else name, *cells])
    headings = ["format", "bits", *error_formats.DENSITIES]
    extended = [r for r in model if r["family"] == "AMS, extended" or r["name"].startswith("gptq")]
    for r in sorted(extended, key=lambda r: r["kl_mean"]):
        if low <= r["effective_bits"] <= high:
            name = r["name"].removesuffix(", calibrated")
            ours = r["family"].startswith("AMS")
            cells = [f"**{name}**" if ours else name, "", "", "", "", _seen(r), *_model_cells(r)]
            rows.append(cells)
    headings += ["sees inputs", "model bits", "model", "model output", "perplexity", "KL mean"]
    return markers.table(headings, rows)


def _seen(record: dict) -> str:
    return "yes" if record["name"].endswith(", calibrated") else ""


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
    return find_format(name, outliers=2) if name == "opal5" else find_format(name)


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
