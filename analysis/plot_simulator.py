"""Draw the simulator's figures into docs/figures: python analysis/plot_simulator.py"""

from __future__ import annotations

import style

from amssim.simulator import figures

if __name__ == "__main__":
    for name, figure in figures("h200").items():
        style.save(figure, f"simulator_{name}")
