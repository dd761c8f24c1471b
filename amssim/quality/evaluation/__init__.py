"""Recipes compared: by the error of weights, and by what a language model then predicts."""
