"""The report on a checkpoint: a page, and what goes into it."""
