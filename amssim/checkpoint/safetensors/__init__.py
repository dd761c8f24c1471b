"""Safetensors files and directories of them: strict readers and a writer. Knows nothing of AMS."""
