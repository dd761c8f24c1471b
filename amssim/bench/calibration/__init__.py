"""Micro-benchmarks of one resource each, and the hardware profiles that they make."""
