"""A body as it was before the server packed it: gzip, deflate, zstd, one in another; within bounds of bytes and work.

libcurl could do it, but refuses what browsers show: gzip in several members, and a body that ends in the midst of its
packing although all of it came. What comes after the last member, and an encoding that is not known, is let be.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import zstandard

_PIECE: Final = 64 << 10
"""Bytes that are unpacked at once."""
_ZSTD_PIECE: Final = 256
"""Packed bytes of zstd that are unpacked at once: each 4 may become 128 KB."""
_MOST_CODINGS: Final = 2
"""Once by who wrote the page and once by who sends it."""
_MOST_MEMBERS: Final = 1000
"""Members of one body: thousands that hold nothing cost time and are no page."""
_LOST: Final = 256 << 10
"""Bytes that one unpacking may take in beyond those that come out: what unpacks to nothing meets no other bound than
the deadline, and may cost 100 ns a byte (tables of a block without content). A page loses some bytes to a header."""

Unpack = Callable[[bytes], Iterator[bytes]]


class UnpackError(ValueError):
    """The body is not packed as its header says; the text says why."""


class Unpacker:
    """Takes a body as it comes, and gives it unpacked."""

    def __init__(self, encodings: Sequence[str]) -> None:
        """Take the words of Content-Encoding, in their order.

        Raises:
            UnpackError: they are too many.
        """
        codings = [word for word in encodings if word not in ("", "identity")]
        if len(codings) > _MOST_CODINGS:
            raise UnpackError(f"the body is packed {len(codings)} times")
        self._steps: list[Unpack] = [_KINDS[coding]() for coding in reversed(codings) if coding in _KINDS]
        self._lost = [0] * len(self._steps)
        """Of each step: bytes that went in, less those that came out."""

    def __call__(self, packed: bytes) -> Iterator[bytes]:
        """Give what the next bytes of the body hold, in pieces of 64 KB or a little more.

        Raises:
            UnpackError: they cannot be unpacked, or cost too much.
        """
        return self._through(packed, 0)

    def _through(self, data: bytes, step: int) -> Iterator[bytes]:
        if step == len(self._steps):
            yield data
            return
        self._lost[step] += len(data)
        for piece in self._steps[step](data):
            self._lost[step] -= len(piece)
            yield from self._through(piece, step + 1)
        if self._lost[step] > _LOST:
            raise UnpackError(f"the body unpacks to less than it is, by more than {_LOST >> 10} KB")


class _Zlib:
    """gzip or deflate, of which several may follow one another."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._unpacker = zlib.decompressobj(wbits)
        self._members = 0

    def __call__(self, packed: bytes) -> Iterator[bytes]:
        while packed or self._unpacker.unconsumed_tail:
            try:
                plain = self._unpacker.decompress(packed, _PIECE)
            except zlib.error as error:
                if self._members:
                    return  # not a member: browsers pass over it
                raise UnpackError(f"the body cannot be unpacked: {error}") from None
            if plain:
                yield plain
            packed = self._unpacker.unconsumed_tail
            if self._unpacker.eof:
                self._members += 1
                if self._members > _MOST_MEMBERS:
                    raise UnpackError(f"the body is packed in more than {_MOST_MEMBERS} members")
                packed, self._unpacker = self._unpacker.unused_data, zlib.decompressobj(self._wbits)
            elif not packed and len(plain) < _PIECE:
                return


class _Deflate:
    """deflate: in zlib's wrapping, as RFC 9110 has it, or bare, as some servers do."""

    def __init__(self) -> None:
        self._start = b""
        self._inner: _Zlib | None = None

    def __call__(self, packed: bytes) -> Iterator[bytes]:
        if self._inner is None:
            self._start += packed
            if len(self._start) < 2:
                return
            start, self._start = self._start, b""
            wrapped = start[0] & 15 == zlib.DEFLATED and int.from_bytes(start[:2]) % 31 == 0
            self._inner = _Zlib(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
            packed = start
        yield from self._inner(packed)


class _Zstd:
    def __init__(self) -> None:
        self._unpacker = zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj(read_across_frames=True)

    def __call__(self, packed: bytes) -> Iterator[bytes]:
        for at in range(0, len(packed), _ZSTD_PIECE):
            try:
                plain = self._unpacker.decompress(packed[at : at + _ZSTD_PIECE])
            except zstandard.ZstdError as error:
                raise UnpackError(f"the body cannot be unpacked: {error}") from None
            if plain:
                yield plain


_KINDS: Final[dict[str, Callable[[], Unpack]]] = {
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "x-gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "deflate": _Deflate,
    "zstd": _Zstd,
}
