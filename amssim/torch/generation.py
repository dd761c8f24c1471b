"""Text from a model directory, packed or float: loaded, generated token by token, and timed."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from amssim.errors import FormatError, InputError, ResourceError, UnsupportedError
from amssim.torch.fuse import fuse_

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Generation:
    """What was generated and what it took.

    Attributes:
        text: what follows the prompt; ``tokens`` are its ids.
        prompt_tokens: length of the prompt.
        load_seconds, compile_seconds: until the model was loaded, and compiled if that was asked.
        first_token_seconds: then until the first token, in which the prompt is read.
        tokens_per_second: of those after the first; None if there are none.
        weight_bytes: of parameters and buffers.
        peak_bytes: most memory in use: of the process on the CPU, of PyTorch on a GPU.
    """

    text: str
    tokens: list[int]
    prompt_tokens: int
    load_seconds: float
    compile_seconds: float | None
    first_token_seconds: float
    tokens_per_second: float | None
    weight_bytes: int
    peak_bytes: int
    device: str
    dtype: str

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen: the likeliest for temperature 0, else drawn with ``seed``.

    Raises:
        InputError: a number out of its range.
    """

    temperature: float = 0.0
    top_k: int = 50
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature is {self.temperature}, expected 0 or more")
        if self.top_k < 1:
            raise InputError(f"top-k is {self.top_k}, expected 1 or more")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top-p is {self.top_p}, expected more than 0 and at most 1")

    def options(self) -> dict[str, Any]:
        """Return the arguments of transformers' ``generate``."""
        if not self.temperature:
            return {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
        own = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        return {"do_sample": True} | own


def generate(
    path: str | Path,
    prompt: str,
    *,
    tokens: int = 64,
    device: str | None = None,
    dtype: str | None = None,
    compiled: bool = False,
    fused: bool = True,
    sampling: Sampling | None = None,
    sink: Callable[[str], None] | None = None,
) -> Generation:
    """Load a model of transformers and let it go on from ``prompt``.

    Args:
        path: directory with config.json, weights and tokenizer.json; float, or packed by amssim.
        prompt: the text to go on from.
        tokens: how many to generate at most; the model's end of text ends it earlier.
        device: as PyTorch names it; a GPU if there is one by default.
        dtype: float32, float16 or bfloat16 of all that is not packed; by default float16 on a
            GPU and float32 on the CPU.
        compiled: compile the decoding step, which takes a minute and is then faster.
        fused: bring packed q, k, v and gate, up together first, as `fuse_` does.
        sampling: greedy by default.
        sink: called with each piece of text as it comes.

    Raises:
        InputError: a prompt without tokens, or that leaves no room; an unknown dtype.
        FormatError: no model or tokenizer in ``path``.
        ResourceError: a device that is not there.
        AmsError: weights that are damaged or not those of the model.
    """
    if tokens < 1:
        raise InputError(f"tokens is {tokens}, expected at least 1")
    sampling, place = sampling or Sampling(), check_device(device)
    chosen = _check_dtype(dtype, place)
    tokenizer = pretrained_tokenizer(path)
    ids = _encode(tokenizer, prompt)
    start = time.perf_counter()
    model = pretrained(path, place, chosen)
    if fused:
        fuse_(model)
    loaded = time.perf_counter() - start
    _check_room(model, ids.shape[1], tokens)
    clock = _Clock(tokenizer, sink)
    options = sampling.options() | {"max_new_tokens": tokens}
    warm = _compile(model, ids, options) if compiled else None
    torch.manual_seed(sampling.seed)
    begun = time.perf_counter()
    _run(model, ids, options | {"streamer": clock})
    return clock.result(model, ids.shape[1], (loaded, warm), begun)


def _run(model: Any, ids: torch.Tensor, options: dict[str, Any]) -> None:
    ids = ids.to(model.device)
    with torch.inference_mode():
        model.generate(ids, attention_mask=torch.ones_like(ids), **options)


def _compile(model: Any, ids: torch.Tensor, options: dict[str, Any]) -> float:
    """Compile what a run with ``options``, which it completes, will need; return the seconds."""
    options["cache_implementation"] = "static"
    config = transformers.CompileConfig()
    config._compile_all_devices = True  # transformers compiles on accelerators alone otherwise
    model.generation_config.compile_config = config
    start, few = time.perf_counter(), transformers.StoppingCriteriaList([_After(3)])
    _run(model, ids, options | {"stopping_criteria": few})
    return time.perf_counter() - start


class _After:
    """Ends a run after some tokens."""

    def __init__(self, tokens: int):
        self._left = tokens

    def __call__(self, ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        self._left -= 1
        return torch.full((len(ids),), self._left <= 0, device=ids.device)


def pretrained(path: str | Path, device: torch.device, dtype: torch.dtype) -> Any:
    """Return the model in ``path`` on ``device``, ready to generate; errors as `generate`."""
    if not (Path(path) / "config.json").is_file():
        raise FormatError(f"{path} holds no config.json: expected a directory of a language model")
    with _library_errors(path):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            Path(path), dtype=dtype, local_files_only=True, trust_remote_code=False
        )
    return model.to(device).eval()


def pretrained_tokenizer(path: str | Path) -> Any:
    """Return the tokenizer of a model directory; `FormatError` if there is none."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if not path.is_dir():
        raise InputError(f"{path} is no directory: expected one with config.json and weights")
    with _library_errors(path):
        if (path / "tokenizer_config.json").is_file():
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
        elif (path / "tokenizer.json").is_file():
            file = str(path / "tokenizer.json")
            tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=file)
        else:
            raise FormatError(f"{path} holds no tokenizer.json, which turns text into tokens")
    with suppress(AttributeError):  # a file may say to cut texts, which nobody asked for
        tokenizer.backend_tokenizer.no_truncation()
    return tokenizer


def check_device(name: str | None) -> torch.device:
    """Return a device; a GPU if there is one for None.

    Raises:
        InputError: a name that PyTorch does not know.
        ResourceError: a GPU that is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}: expected cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ResourceError(f"device {name}: PyTorch sees {torch.cuda.device_count()} GPUs")
    return device


def _check_dtype(name: str | None, device: torch.device) -> torch.dtype:
    if name is None:
        return torch.float16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise InputError(f"unknown dtype {name!r}: choose one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _encode(tokenizer: Any, prompt: str) -> torch.Tensor:
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    if not ids.numel():
        raise InputError("the prompt has no tokens: give some text to go on from")
    return torch.as_tensor(ids)


def _check_room(model: Any, prompt: int, tokens: int) -> None:
    room = getattr(model.config, "max_position_embeddings", None)
    if room is not None and prompt + tokens > room:
        raise InputError(
            f"{prompt} tokens of prompt and {tokens} to generate exceed the model's {room} "
            "positions: shorten the prompt or ask for fewer"
        )


@contextmanager
def _library_errors(path: str | Path) -> Iterator[None]:
    """Turn what transformers says about files into sentences of amssim's."""
    try:
        yield
    except (OSError, ValueError, json.JSONDecodeError) as error:
        if isinstance(error, UnsupportedError | FormatError):
            raise
        first = str(error).strip().splitlines()[:1]
        raise FormatError(f"{path} cannot be loaded: {''.join(first)}") from None


class _Clock(transformers.TextStreamer):  # type: ignore[misc]
    """Hands on text as it comes, and notes when each token did."""

    def __init__(self, tokenizer: Any, sink: Callable[[str], None] | None):
        super().__init__(tokenizer, skip_prompt=True)
        self._sink = sink
        self.times: list[float] = []
        self.ids: list[int] = []
        self._text: list[str] = []

    def put(self, value: torch.Tensor) -> None:
        """Take the next token; the first call brings the prompt."""
        if not self.next_tokens_are_prompt:
            self.ids += value.reshape(-1).tolist()
            self.times.append(time.perf_counter())
        super().put(value)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Hand on a piece of text."""
        self._text.append(text)
        if self._sink:
            self._sink(text)

    def result(
        self, model: Any, prompt: int, prepared: tuple[float, float | None], begun: float
    ) -> Generation:
        """Return what was generated since ``begun``, and what it took."""
        rest = self.times[-1] - self.times[0]
        cuda = model.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(model.device) if cuda else _peak_of_process()
        tensors = [*model.parameters(), *model.buffers()]
        return Generation(
            text="".join(self._text),
            tokens=self.ids,
            prompt_tokens=prompt,
            load_seconds=prepared[0],
            compile_seconds=prepared[1],
            first_token_seconds=self.times[0] - begun,
            tokens_per_second=(len(self.times) - 1) / rest if rest else None,
            weight_bytes=sum(t.numel() * t.element_size() for t in tensors),
            peak_bytes=peak,
            device=torch.cuda.get_device_name(model.device) if cuda else "CPU",
            dtype=str(model.dtype).removeprefix("torch."),
        )


def _peak_of_process() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
