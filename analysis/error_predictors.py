"""How well the error of weights and of outputs tells the KL divergence, format by format."""

from __future__ import annotations

import math

import markers
import numpy as np
from scipy.stats import spearmanr

#: Recorded figures, in decibels or as errors, by what the document calls them.
MEASURES = {
    "SQNR of the outputs": "output_sqnr_db",
    "SQNR of the weights": "sqnr_db",
    "99th percentile of the weights' errors": "p99_error",
    "largest error of a weight": "max_error",
}


def decibels(records: list[dict], name: str) -> np.ndarray:
    """float64[records] a figure, errors as 20 log10 of their inverse."""
    figures = np.array([r[name] for r in records])
    return figures if name.endswith("_db") else -20 * np.log10(figures)


def fitted(records: list[dict], name: str) -> tuple[float, np.ndarray]:
    """Factors of KL per 10 dB, and each record's ln of its KL over the fitted line's."""
    kl = np.log([r["kl_mean"] for r in records])
    slope, start = np.polyfit(decibels(records, name), kl, 1)
    return 10 * slope / math.log(10), kl - start - slope * decibels(records, name)


def table(model: list[dict]) -> str:
    """A row per measure: rank correlation, slope and deviation from a line in log KL."""
    records, rows = quantised(model), []
    for title, name in MEASURES.items():
        rank = spearmanr(decibels(records, name), [-r["kl_mean"] for r in records])[0]
        decades, rest = fitted(records, name)
        worst = records[int(np.abs(rest).argmax())]["name"]
        largest = f"{100 * np.abs(rest).max():.0f} % ({worst})"
        spread = f"{100 * np.sqrt((rest**2).mean()):.0f} %"
        rows.append([title, f"{rank:.3f}", f"{-decades:.2f}", spread, largest])
    headings = ["measure", "rank correlation", "decades of KL per 10 dB", "deviation, rms"]
    return markers.table([*headings, "largest"], rows)


def quantised(model: list[dict]) -> list[dict]:
    """Records of formats that lose something."""
    return [r for r in model if r["effective_bits"] < 16]
