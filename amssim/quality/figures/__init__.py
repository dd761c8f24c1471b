"""Figures of the error analysis, each a function of recorded results."""
