"""float32 results of plain kernels -> outputs of any dtype."""
