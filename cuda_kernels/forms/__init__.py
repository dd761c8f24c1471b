"""Two word layouts of weights: how they decode, and how words come to them and back."""
