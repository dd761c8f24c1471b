"""Products without tensor cores, for schemes that no form holds."""
