"""GEMM for a batch of 5 to 64 with Hopper's instruction per four warps."""
