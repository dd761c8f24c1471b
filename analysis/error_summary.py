"""The answers of docs/ERROR.md in a few sentences, every number taken from the records."""

from __future__ import annotations

import markers

E2M3, E2M2 = "fp5.33-e2m3", "fp4.25-e2m2"
#: Formats beside which an AMS scheme stands, by its name: the budget, and the rates that count.
BUDGETS = {E2M2: ("4.25", 4.1, 4.31), E2M3: ("5.33", 5.0, 5.41)}
#: What is added to the published format, in the order of the table.
ADDED = {
    "": "as published",
    " mse": "scale mse",
    " joint, calibrated": "joint scales, weighed by inputs",
    " -0, calibrated": "value for negative zero",
}
FED = {
    " joint, calibrated": "error feedback, joint scales",
    " -0, calibrated": "error feedback, value for negative zero",
}


class Summary:
    """Sentences and tables about the records of the language model and of heavy tails."""

    def __init__(self, model: list[dict], heavy: list[dict]):
        self.model, self.heavy = model, heavy
        self.by_name = {r["name"]: r for r in model}

    def __str__(self) -> str:
        sentences = (self.k, self.search, self.standing, self.tails, self.feedback)
        listed = "\n".join(f"- {sentence()}" for sentence in sentences)
        return "\n\n".join([listed, *(self.table(scheme) for scheme in BUDGETS)])

    def k(self) -> str:
        """What sharing costs, and what the next smaller plain format would."""
        shared = [self.loss("fp6-e2m3", E2M3), self.loss("fp5-e2m2", E2M2)]
        dropped = [self.loss("fp6-e2m3", "fp5-e2m2"), self.loss("fp5-e2m2", "fp4-e2m1")]
        return (
            f"**Sharing a bit** costs {shared[0]} from FP6 to FP5.33 and {shared[1]} from FP5 to "
            f"FP4.25 on the model's weights; dropping it costs {dropped[0]} (FP6 to FP5) and "
            f"{dropped[1]} (FP5 to FP4)."
        )

    def search(self) -> str:
        """What the adaptive rule saves."""
        losses = []
        for rule in ("replace", "majority"):
            both = [
                f"{self.loss(s, f'{s} {rule}')} and {self.ratio(f'{s} {rule}', s):.1f} times the "
                f"KL divergence on FP{s[2:6]}"
                for s in (E2M3, E2M2)
            ]
            losses.append(f"`{rule}` costs {', '.join(both)}")
        return f"**The adaptive search** is what makes that so: {'; '.join(losses)}."

    def standing(self) -> str:
        """Where the published formats stand among those that see no inputs."""
        clauses = []
        for scheme, (bits, low, high) in BUDGETS.items():
            plain = [r for r in self.rivals(low, high) if not r["name"].endswith("calibrated")]
            best = min(plain, key=lambda r: r["kl_mean"])
            own = self.by_name[scheme]
            more = own["effective_bits"] - best["effective_bits"]
            clauses.append(
                f"at {bits} bits its KL divergence is {own['kl_mean']:.4f}, that of the best other "
                f"format without calibration, {best['name']}, {best['kl_mean']:.4f} with "
                f"{more:.2f} bits less"
            )
        return f"**AMS as published** leads the formats that see no inputs: {'; '.join(clauses)}."

    def tails(self) -> str:
        """Where the published formats stand on heavy tails, and what helps."""
        by_name = {r["name"]: r for r in self.heavy}
        clauses = []
        for scheme, (bits, low, high) in BUDGETS.items():
            plain = [r for r in self.heavy if low <= r["effective_bits"] <= high]
            plain = [r for r in plain if not r["family"].startswith("AMS")]
            best = max(plain, key=lambda r: r["sqnr_db"])
            blocks = by_name[f"{scheme} mse g256"]
            clauses.append(
                f"at {bits} bits it has {by_name[scheme]['sqnr_db']:.1f} dB on Student-t5 weights "
                f"and {best['name']} {best['sqnr_db']:.1f} dB; with a scale per 256 columns, "
                f"searched, it has {blocks['sqnr_db']:.1f} dB at "
                f"{blocks['effective_bits']:.2f} bits"
            )
        return f"**Heavy tails** are where a scale per row loses: {'; '.join(clauses)}."

    def feedback(self) -> str:
        """What error feedback gains, on AMS and on integers."""
        clauses = []
        for scheme, (bits, low, high) in BUDGETS.items():
            fed = self.by_name[f"gptq {scheme} -0, calibrated"]["kl_mean"]
            best = min(self.rivals(low, high), key=lambda r: r["kl_mean"])
            clauses.append(
                f"at {bits} bits with a value for negative zero it leaves {fed:.4f}, the best "
                f"calibrated rival, {best['name'].removesuffix(', calibrated')}, "
                f"{best['kl_mean']:.4f}"
            )
        return f"**Error feedback** pays most, without a bit more: {'; '.join(clauses)}."

    def table(self, scheme: str) -> str:
        """A scheme, what can be added to it, and the best other formats of its budget."""
        names = {f"{scheme}{more}": title for more, title in ADDED.items()}
        names |= {f"gptq {scheme}{more}": title for more, title in FED.items()}
        rows = [self.row(f"AMS, {title}", self.by_name[name]) for name, title in names.items()]
        _, low, high = BUDGETS[scheme]
        best = sorted(self.rivals(low, high), key=lambda r: r["kl_mean"])[:5]
        rows += [self.row(f"`{r['name'].removesuffix(', calibrated')}`", r) for r in best]
        headings = [f"`{scheme}` and rivals", "sees inputs", "bits", "perplexity", "KL mean"]
        return markers.table(headings, rows)

    def row(self, title: str, record: dict) -> list[str]:
        """Cells of a record."""
        seen = "yes" if record["name"].endswith("calibrated") else ""
        figures = f"{record['perplexity']:.4f}", f"{record['kl_mean']:.5f}"
        return [title, seen, f"{record['effective_bits']:.3f}", *figures]

    def rivals(self, low: float, high: float) -> list[dict]:
        """Records between two rates that share no bit."""
        own = [r for r in self.model if low <= r["effective_bits"] <= high]
        return [r for r in own if not r["family"].startswith("AMS")]

    def loss(self, a: str, b: str) -> str:
        """SQNR of one record less that of another."""
        return f"{self.by_name[a]['sqnr_db'] - self.by_name[b]['sqnr_db']:.2f} dB"

    def ratio(self, a: str, b: str) -> float:
        """KL divergence of one record over that of another."""
        return self.by_name[a]["kl_mean"] / self.by_name[b]["kl_mean"]
