"""Doctests of parts that need an optional package are collected where that is installed."""

from importlib.util import find_spec

_MODELS = ["amssim/torch", "amssim/bench/decode/model.py", "amssim/bench/decode/step.py"]
collect_ignore = [] if find_spec("torch") and find_spec("transformers") else _MODELS
if not find_spec("distributed"):
    collect_ignore += ["amssim/checkpoint/jobs/local_workers.py"]
if not find_spec("triton"):
    collect_ignore += ["amssim/torch/attend.py"]
if not find_spec("vllm"):
    collect_ignore += ["amssim/vllm"]
