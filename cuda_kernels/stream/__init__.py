"""GEMV for a batch of 3 to 16 of long rows: activations come as the product goes on."""
