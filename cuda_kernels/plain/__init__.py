"""Plain kernels without tensor cores: every scheme, every shape."""
