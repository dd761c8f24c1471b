"""Measurements: speed on this machine, as records that tables and figures are made of."""
