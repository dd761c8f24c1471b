"""Canonical words -> the words of a kernel form, and scales with them."""
