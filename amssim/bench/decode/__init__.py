"""How fast tokens come: decoding steps of a whole model with packed weights."""
