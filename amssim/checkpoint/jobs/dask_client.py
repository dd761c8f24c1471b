"""A connection to Dask workers that says what is wrong in one sentence, and nothing else.

`distributed` is imported in functions, because it is an optional package and takes a third of a
second.
"""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from amssim import __version__
from amssim.errors import AmsError, ResourceError, SchemeError, UnsupportedError

if TYPE_CHECKING:
    from distributed import Client

_REACH_SECONDS = 5.0
_RESULT_SECONDS = 2.0
_SILENT = logging.CRITICAL + 1


def check_installed() -> None:
    """Raise `ResourceError` without the package `distributed`."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ResourceError(
            f"several processes need Dask ({error}): python -m pip install 'amssim[distributed]'"
        ) from None


def check_address(address: str) -> tuple[str, int]:
    """Return host and port of ``tcp://HOST:PORT``, or of ``tls://``; `SchemeError` otherwise.

    >>> check_address("tcp://10.0.0.1:8786")
    ('10.0.0.1', 8786)
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.scheme not in ("tcp", "tls"):
        raise SchemeError(
            f"the scheduler must be an address such as tcp://10.0.0.1:8786, found {address!r}"
        )
    return host, port


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Yield a client of the scheduler at ``address``; `ResourceError` where there is none."""
    try:
        socket.create_connection(check_address(address), _REACH_SECONDS).close()
    except OSError as error:
        raise ResourceError(
            f"no scheduler answers at {address} ({error}): start one by 'dask scheduler'"
        ) from None
    client = _client(address)
    try:
        yield client
    finally:
        with suppress(TimeoutError):
            client.close(timeout=_REACH_SECONDS)


def _client(address: str) -> Client:
    """Connect from a thread of its own: in this one, a server that is silent would end never."""
    from distributed import Client

    class QuietClient(Client):  # type: ignore[misc,unused-ignore]  # may not be installed
        """One that never connected has nothing to close, and would complain when collected."""

        def __del__(self) -> None:
            pass

    made: SimpleQueue[Client | Exception] = SimpleQueue()

    def make() -> None:
        try:
            made.put(QuietClient(address, timeout=_REACH_SECONDS, set_as_default=False))
        except Exception as error:
            made.put(error)

    threading.Thread(target=make, name="amssim-connect", daemon=True).start()
    try:
        client = made.get(timeout=2 * _REACH_SECONDS)
    except Empty:
        client = TimeoutError(f"no answer in {2 * _REACH_SECONDS:.0f} seconds")
    if isinstance(client, Exception):
        raise ResourceError(
            f"what listens at {address} is no Dask scheduler, or of another version ({client})"
        )
    return client


def wait_for_worker(client: Client, check: Callable[[], None]) -> dict[str, int]:
    """Return the threads of each worker once there is one; ``check`` raises if none will come."""
    while not (threads := threads_of(client)):
        check()
        time.sleep(0.02)
    return threads


def threads_of(client: Client) -> dict[str, int]:
    """Return the threads of each worker by its address."""
    found: dict[str, int] = client.nthreads()
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what `distributed` logs and warns of from the terminal; errors are told by us."""
    names = [n for n in logging.root.manager.loggerDict if n.startswith(("distributed", "tornado"))]
    loggers = [logging.getLogger(name) for name in {"distributed", "tornado", *names}]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(_SILENT)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="distributed")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def remote_call(function: Callable[..., Any], *arguments: Any) -> bytes:
    """Return a call for `pickle.loads` to make, in a worker that may not know ``function``.

    A worker that cannot import a task's function does not say so but leaves (distributed 2026.8);
    one that cannot unpickle these bytes answers with the error.
    """
    return pickle.dumps(_Call(function, arguments))


class _Call:
    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]):
        self._reduced = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._reduced


class Pending(Exception):
    """The result was lost with its worker and is being made again."""


def result_of(future: Any, name: str) -> Any:
    """Return what a future holds that is no longer pending; ``name`` says what it is.

    Raises:
        Pending: it has to be waited for once more.
        AmsError: what the worker raised, or why there will be no result.
    """
    try:
        return future.result(timeout=_RESULT_SECONDS)
    except AmsError:
        raise
    except CancelledError:
        raise ResourceError(
            "the scheduler is gone: start it and its workers, and give the same command again, "
            "which continues"
        ) from None
    except TimeoutError as error:
        if future.status == "error":
            raise own_error(error, name) from None
        raise Pending from None
    except Exception as error:
        raise own_error(error, name) from None


def own_error(error: Exception, name: str) -> Exception:
    """Return the error to raise for one that a worker or Dask raised while it did ``name``."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return ResourceError(
            f"{name}: {error.allowed_failures + 1} workers died at it, the last was "
            f"{error.last_worker.address}: see their logs, whether memory ran out; the same "
            "command continues"
        )
    if isinstance(error, MemoryError):
        return ResourceError(f"{name}: a worker has not enough memory: give each fewer threads")
    if isinstance(error, ImportError) or str(error).startswith("Can't get attribute"):
        return UnsupportedError(
            f"a worker has no amssim {__version__} ({error}): install that version everywhere"
        )
    return error


def run_everywhere(client: Client, function: Callable[..., Any], *arguments: Any) -> None:
    """Call ``function`` in every worker at once; its first error is raised."""
    answers = client.run(pickle.loads, remote_call(function, *arguments), on_error="return")
    for address, answer in sorted(answers.items()):
        if isinstance(answer, AmsError):
            raise answer
        if isinstance(answer, Exception):
            raise own_error(answer, f"the worker at {address}")
