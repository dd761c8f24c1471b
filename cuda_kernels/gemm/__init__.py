"""GEMM for a batch of 5 to 64 with a tensor-core instruction per warp, on any GPU."""
