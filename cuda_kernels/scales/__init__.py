"""Scales per block of columns <-> the order in which kernels read them."""
