"""Runs kernels on the CPU, 32 lanes at a time, and finds what no barrier orders."""
