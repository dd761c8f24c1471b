"""The answers of docs/ERROR.md in a few sentences, every number taken from the records."""

from __future__ import annotations

E2M3, E2M2 = "fp5.33-e2m3", "fp4.25-e2m2"


class Summary:
    """Sentences about the records of the language model."""

    def __init__(self, model: list[dict]):
        self.model = model
        self.by_name = {r["name"]: r for r in model}

    def __str__(self) -> str:
        sentences = (self.k, self.search, self.low, self.high, self.feedback, self.others)
        return "\n".join(f"- {sentence()}" for sentence in sentences)

    def k(self) -> str:
        """What sharing costs, and what the next smaller plain format would."""
        shared = [self.loss("fp6-e2m3", E2M3), self.loss("fp5-e2m2", E2M2)]
        dropped = [self.loss("fp6-e2m3", "fp5-e2m2"), self.loss("fp5-e2m2", "fp4-e2m1")]
        return (
            f"Sharing costs {shared[0]} from FP6 to FP5.33 and {shared[1]} from FP5 to FP4.25 on "
            f"the model. Dropping the bit, FP6 to FP5 and FP5 to FP4, costs {dropped[0]} and "
            f"{dropped[1]}."
        )

    def search(self) -> str:
        """What the adaptive rule saves."""
        losses = [
            f"{scheme} loses {self.loss(scheme, f'{scheme} {rule}')} and has "
            f"{self.ratio(f'{scheme} {rule}', scheme):.1f} times the KL divergence with `{rule}`"
            for scheme in (E2M3, E2M2)
            for rule in ("replace", "majority")
        ]
        return "The adaptive rule is what makes sharing worth it: " + "; ".join(losses) + "."

    def low(self) -> str:
        """Where AMS stands at 4.25 bits."""
        return self.standing("4.25", E2M2, 4.1, 4.31)

    def high(self) -> str:
        """Where AMS stands at 5.33 bits."""
        return self.standing("5.33", E2M3, 5.0, 5.4)

    def feedback(self) -> str:
        """What error feedback gains."""
        names = [f"gptq {scheme}{more}" for scheme in (E2M2, E2M3) for more in ("", " -0")]
        found = "; ".join(self.figures(f"{name}, calibrated") for name in names)
        return f"Error feedback pays most, without a bit more: {found}."

    def others(self) -> str:
        """What the other extensions gain."""
        names = [f"{s} {more}" for s in (E2M2, E2M3) for more in ("-0", "per tensor by KL")]
        found = "; ".join(self.figures(f"{name}, calibrated") for name in names)
        return f"Without feedback, a value for negative zero and a scheme per tensor: {found}."

    def standing(self, bits: str, scheme: str, low: float, high: float) -> str:
        """A scheme beside the best other formats between two rates."""
        own = [r for r in self.model if low <= r["effective_bits"] <= high]
        own = [r for r in own if not r["family"].startswith("AMS")]
        nearest = sorted(own, key=lambda r: r["kl_mean"])[:3]
        return (
            f"Near {bits} bits: {self.figures(scheme)}, and {self.figures(f'{scheme} mse')}. The "
            f"best others: {'; '.join(self.figures(r['name']) for r in nearest)}."
        )

    def figures(self, name: str) -> str:
        """Perplexity, KL divergence and bits of a record."""
        r = self.by_name[name]
        return (
            f"{name} has perplexity {r['perplexity']:.3f} and KL {r['kl_mean']:.4f} "
            f"at {r['effective_bits']:.2f} bits"
        )

    def loss(self, a: str, b: str) -> str:
        """SQNR of one record less that of another."""
        return f"{self.by_name[a]['sqnr_db'] - self.by_name[b]['sqnr_db']:.2f} dB"

    def ratio(self, a: str, b: str) -> float:
        """KL divergence of one record over that of another."""
        return self.by_name[a]["kl_mean"] / self.by_name[b]["kl_mean"]
