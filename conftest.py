"""Doctests of parts that need an optional package are collected where that is installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") and find_spec("transformers") else ["amssim/torch"]
if not find_spec("vllm"):
    collect_ignore += ["amssim/vllm"]
