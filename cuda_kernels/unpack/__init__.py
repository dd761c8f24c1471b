"""The words of a kernel form -> canonical words, and scales with them."""
