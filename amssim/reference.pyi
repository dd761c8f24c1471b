"""Types of the specification, which stays as it was written."""

import numpy as np

from amssim.layout import HALF_WORD_BITS as HALF_WORD_BITS
from amssim.layout import layout as layout
from amssim.minifloat import Minifloat as Minifloat
from amssim.rules import MSE_FACTORS as MSE_FACTORS
from amssim.scheme import Scheme as Scheme

SMALLEST_SCALE: np.float32

def nearest(magnitude: np.ndarray, element: Minifloat) -> np.ndarray: ...
def nearest_with_bit(magnitude: np.ndarray, element: Minifloat, bit: int) -> np.ndarray: ...
def candidates(x: np.ndarray, element: Minifloat, search: str) -> tuple[np.ndarray, np.ndarray]: ...
def excess_of_one(
    x: np.ndarray, code0: np.ndarray, code1: np.ndarray, element: Minifloat
) -> np.ndarray: ...
def shared_bits(
    x: np.ndarray,
    code0: np.ndarray,
    code1: np.ndarray,
    scheme: Scheme,
    search: str,
    importance: np.ndarray | None,
) -> np.ndarray: ...
def encode(
    x: np.ndarray,
    scheme: Scheme,
    search: str = "adaptive",
    importance: np.ndarray | None = None,
) -> np.ndarray: ...
def absmax_scale(block: np.ndarray, element: Minifloat) -> np.float32: ...
def mse_scale(
    row: np.ndarray,
    start: int,
    stop: int,
    scheme: Scheme,
    search: str,
    importance: np.ndarray | None,
) -> np.float32: ...
def find_scales(
    weights: np.ndarray,
    scheme: Scheme,
    search: str = "adaptive",
    scale: str = "absmax",
    scale_block: int | None = None,
    importance: np.ndarray | None = None,
) -> np.ndarray: ...
def spread(scales: np.ndarray, cols: int, scale_block: int | None) -> np.ndarray: ...
def pack(codes: np.ndarray, scheme: Scheme) -> np.ndarray: ...
def unpack(words: np.ndarray, scheme: Scheme, cols: int) -> np.ndarray: ...
def quantize(
    weights: np.ndarray,
    scheme: Scheme,
    search: str = "adaptive",
    scale: str = "absmax",
    scale_block: int | None = None,
    importance: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]: ...
def dequantize(
    words: np.ndarray,
    scales: np.ndarray,
    scheme: Scheme,
    cols: int,
    scale_block: int | None = None,
) -> np.ndarray: ...
def gemv(
    words: np.ndarray,
    scales: np.ndarray,
    scheme: Scheme,
    x: np.ndarray,
    scale_block: int | None = None,
) -> np.ndarray: ...
