"""Record the closed form beside samples, rows short and many so that their maxima average out.

python analysis/error_theory.py
"""

from __future__ import annotations

import recorded

from amssim import SEARCH_RULES
from amssim.quality import (
    DENSITIES,
    SharingOptions,
    best_schemes,
    density,
    expected_mse_absmax,
    from_density,
    sharing_study,
)

WEIGHTS, COLUMNS = 1 << 25, 256
SCHEMES = ("fp5.33", "fp4.25", "ams-e2m2-k8", "ams-e3m2-k2", "fp6-e2m3")
BUDGETS = (4.0, 4.25, 4.5, 5.0, 5.34, 6.0)


def compared(name: str) -> list[dict]:
    """Measured and predicted mean squared error of one density."""
    tried = [SharingOptions(s) for s in SCHEMES]
    tried += [SharingOptions("fp4.25", search=rule) for rule in SEARCH_RULES[1:]]
    weights, rows = density(name), []
    records = sharing_study(from_density(weights, WEIGHTS, columns=COLUMNS), tried)
    for options, record in zip(tried, records, strict=True):
        predicted = expected_mse_absmax(
            weights, options.scheme, columns=COLUMNS, search=options.search
        )
        kept = {key: record[key] for key in ("scheme", "search", "mse")}
        rows.append({"density": name} | kept | {"predicted": predicted})
    return rows


def optimum() -> list[dict]:
    """The two best formats for each budget and density, with their best clips."""
    records = []
    for budget in BUDGETS:
        for name in ("normal", "laplace", "t5"):
            best = [
                {"scheme": b.scheme.name, "clip": b.clip, "sqnr_db": b.sqnr_db}
                for b in best_schemes(density(name), budget)[:2]
            ]
            records.append({"budget": budget, "density": name, "best": best})
    return records


def main() -> None:
    records = [record for name in DENSITIES for record in compared(name)]
    size = {"weights": WEIGHTS, "columns": COLUMNS}
    recorded.save("error_theory", size | {"records": records, "optimum": optimum()})


if __name__ == "__main__":
    main()
