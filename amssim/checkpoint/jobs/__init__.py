"""Jobs over whole checkpoints: planned from headers, then run; and verified."""
