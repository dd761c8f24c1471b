"""The GPU benchmark: packed products beside cuBLAS and other libraries' quantised products."""
