"""The CPU benchmark: packed products and codecs beside a baseline of the same process."""
