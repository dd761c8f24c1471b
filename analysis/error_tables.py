"""Fill the tables of docs/ERROR.md from recorded results.

python analysis/error_tables.py [--check]
"""

from __future__ import annotations

import error_model_tables as of_model
import error_predictors
import markers
import recorded
from error_summary import Summary

from amssim import SEARCH_RULES
from amssim.quality import matching

KINDS = {"normal": "normal", "t5": "Student-t5", "model": "model"}


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
            cells = [db(matching(study[kind], element=element, k=k)) for k in range(1, 9)]
            rows.append([title, element, *cells])
    return markers.table(headings, rows)


def search_table(study: dict) -> str:
    """SQNR of each search rule, and what adaptive gains over it."""
    headings = ["weights", "scheme", *SEARCH_RULES]
    rows = []
    for kind, title in KINDS.items():
        for element, k in (("e2m3", 2), ("e2m3", 3), ("e2m2", 3), ("e2m2", 4), ("e2m2", 8)):
            own = {
                rule: matching(study[kind], element=element, k=k, search=rule)[0]["sqnr_db"]
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
    own = matching(records, scheme=scheme, **options)
    value = own[0].get(figure) if own else None
    return "" if value is None else f"{value:.2f} ({own[0]['effective_bits']:.2f})"


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


def times_table(recorded_times: dict) -> str:
    """How long the commands take, and on what."""
    headings = ["what", "command", "seconds", "load before"]
    rows = [
        [title, f"`{t['command']}`", f"{t['seconds']:.0f}", f"{t['load_before']:.1f}"]
        for title, t in recorded_times["times"].items()
    ]
    machine = recorded_times["machine"]
    made = f"`{recorded_times['command']}`, {machine['processor']}, {machine['cpus']} CPUs."
    return markers.table(headings, rows) + "\n\n" + made


def tails(model: dict) -> str:
    """How heavy the tails of the model's matrices are."""
    shapes = sorted(model["shapes"].values())
    return (
        f"The model's {len(shapes)} matrices have shapes from {shapes[0]:.2f} to {shapes[-1]:.2f}, "
        f"the median {model['median shape']:.2f}: within a row they are all but normal, which is "
        "why their figures above are those of normal weights."
    )


def parts() -> dict[str, str]:
    """Every generated part of the document by its marker."""
    study = recorded.load("error_study")["weights"]
    theory = recorded.load("error_theory")
    formats, scored = recorded.load("error_formats"), recorded.load("error_model")
    groups, full = scored["groups"], recorded.load("error_model_full")
    model = [r for g in groups.values() for r in g]
    return {
        "summary": str(Summary(model, formats["random"]["t5"]["records"])),
        "k": k_table(study),
        "search": search_table(study),
        "choices": choice_table(study),
        "theory": theory_table(theory["records"]),
        "optimum": optimum_table(theory["optimum"]),
        "at 4.25": of_model.equal_bits_table(formats, model, 4.1, 4.55),
        "tails": tails(formats["model"]),
        "at 5.33": of_model.equal_bits_table(formats, model, 5.0, 5.6),
        "extensions": of_model.extension_table(model),
        "seeds": of_model.seed_table(model),
        "simplified": of_model.simplified_table(),
        "model": of_model.model_table(scored["stored"], groups),
        "predictors": error_predictors.table(model),
        "times": times_table(recorded.load("error_times")),
        "full": of_model.model_table(full["stored"], full["groups"]),
    }


if __name__ == "__main__":
    markers.main("docs/ERROR.md", parts(), __doc__)
