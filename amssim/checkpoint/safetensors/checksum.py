"""CRC-32, the checksum of stored tensors: of bytes in a file, and of parts put together.

The checksums of two neighbouring parts give that of both, whoever computed them and in which
order. Appending bytes to a message multiplies its remainder by a power of x in the polynomials
over GF(2) modulo the CRC's own: the power for n bytes is built by squaring.
"""

from __future__ import annotations

import zlib

from amssim.checkpoint.safetensors.descriptor import OpenFile

# Bit 31 is the coefficient of 1, bit 0 that of x**31; x**32 is what the reversed polynomial says.
_POLYNOMIAL = 0xEDB88320
_ONE, _X8 = 1 << 31, 1 << 23
_BUFFER_BYTES = 1 << 20


def crc32_of(file: OpenFile, start: int, stop: int) -> int:
    """CRC-32 of bytes ``start`` to ``stop`` of a file; errors as `OpenFile.read_into`."""
    crc, buffer = 0, memoryview(bytearray(min(_BUFFER_BYTES, max(stop - start, 0))))
    for first in range(start, stop, _BUFFER_BYTES):
        piece = buffer[: stop - first]
        file.read_into(piece, first)
        crc = zlib.crc32(piece, crc)
    return crc


def combine(first: int, second: int, second_bytes: int) -> int:
    """CRC-32 of two parts, from that of each and the number of bytes of the second.

    >>> combine(zlib.crc32(b"some"), zlib.crc32(b"thing"), 5) == zlib.crc32(b"something")
    True
    """
    return _times(first, _x_to_bytes(second_bytes)) ^ second


def _x_to_bytes(count: int) -> int:
    """x**(8 * count), by squaring."""
    power, square = _ONE, _X8
    while count:
        if count & 1:
            power = _times(power, square)
        square = _times(square, square)
        count >>= 1
    return power


def _times(a: int, b: int) -> int:
    """Product of two polynomials of degree below 32."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product
