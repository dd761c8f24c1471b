"""What packed products are held against on a GPU: a copy's bandwidth, and cuBLAS in float16."""

from __future__ import annotations

from amssim.bench.gpu.graphs import copies_of, graph_s, torch_or_error

_COPIED = 500_000_000  # float16 numbers
_COPIES, _FEWEST_PRODUCTS = 5, 8  # launches in a graph


def copy_bytes_per_s() -> float:
    """Return the bandwidth of a copy on the device, bytes read plus bytes written per second."""
    torch = torch_or_error()
    source = torch.randn(_COPIED, device="cuda", dtype=torch.float16)
    target = torch.empty_like(source)
    return 4 * _COPIED / graph_s(lambda _: torch.mul(source, 2, out=target), _COPIES)


def cublas_s(rows: int, columns: int, batch: int) -> float:
    """Return the seconds of cuBLAS's product of ``batch`` vectors with cold float16 weights.

    The faster of torch.mm and, for one vector, torch.mv.
    """
    torch = torch_or_error()
    half = {"device": "cuda", "dtype": torch.float16}
    count = copies_of(2 * rows * columns)
    weights = [torch.randn(rows, columns, **half) for _ in range(count)]
    x, out = torch.randn(batch, columns, **half), torch.empty(batch, rows, **half)
    launches = max(count, _FEWEST_PRODUCTS)
    matrix_s = graph_s(lambda i: torch.mm(x, weights[i % count].t(), out=out), launches)
    if batch > 1:
        return matrix_s
    vector, to = x[0], out[0]
    vector_s = graph_s(lambda i: torch.mv(weights[i % count], vector, out=to), launches)
    return min(matrix_s, vector_s)
