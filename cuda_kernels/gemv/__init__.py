"""GEMV for a batch of 1 to 16: all activations of a block lie in shared memory."""
