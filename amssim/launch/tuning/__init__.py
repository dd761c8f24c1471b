"""What was measured of a GPU and chooses its launches: a file of data for each, and who reads it.

A GPU without data takes that of the nearest: `match.tuning_of` says which. The data are Python, not
JSON, so that Numba compiles them in and compiles anew when they change.
"""
