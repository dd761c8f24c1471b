"""AMS as a format, and what can be added to it at the same bits."""
