"""Packed tensors, the validated roof over `amssim.codec` and `amssim.cpu`.

Whatever a user hands in is checked here; below, arrays are known to be right.
"""
