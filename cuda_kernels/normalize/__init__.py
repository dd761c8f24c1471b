"""Activations that tensor-core kernels cannot read as they are."""
