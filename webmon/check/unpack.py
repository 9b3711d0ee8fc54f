"""A body as it was before the server packed it: gzip, deflate, zstd, one in another; within bounds of bytes and work.

libcurl could do it, but refuses what browsers show: gzip in several members, and a body that ends in the midst of its
packing although all of it came. What comes after the last member, and an encoding that is not known, is let be.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

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

_GZIP: Final = b"\x1f\x8b"
_GZIP_LEAST: Final = 10
"""Bytes of a member's header without what is optional."""
_GZIP_SUMS: Final = 8

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


class _Inflate:
    """gzip, in one member or several, or deflate: in zlib's wrapping, as RFC 9110 has it, or bare, as some servers do.

    Browsers look at no check sum, and neither do we: whether all of a body came, its framing tells. Zlib's wrapping is
    taken for gzip, too, as by curl; gzip is taken for deflate by neither.
    """

    def __init__(self, *, may_be_bare: bool) -> None:
        self._may_be_bare = may_be_bare
        self._start = b""
        """Of a wrapping that has not come whole."""
        self._inner: Any = None
        self._is_gzip = False
        self._left_of_end = 0
        """Bytes of the sums behind a member that are still to come."""
        self._members = 0
        self._is_over = False
        """Whether all that still comes is none of it: browsers pass over it."""

    def __call__(self, packed: bytes) -> Iterator[bytes]:
        while (packed or (self._inner and self._inner.unconsumed_tail)) and not self._is_over:
            if self._inner is None:
                packed = self._unwrapped(packed)
                continue
            try:
                plain = self._inner.decompress(packed, _PIECE)
            except zlib.error as error:
                if not self._members:
                    raise UnpackError(f"the body cannot be unpacked: {error}") from None
                self._is_over = True
                return
            if plain:
                yield plain
            packed = self._inner.unconsumed_tail
            if self._inner.eof:
                packed = self._ended()
            elif not packed and len(plain) < _PIECE:
                return

    def _unwrapped(self, packed: bytes) -> bytes:
        """Pass over what stands before and between members, as far as it came; give what is packed."""
        passed = min(self._left_of_end, len(packed))
        self._left_of_end -= passed
        self._start += packed[passed:]
        if not self._start or (length := self._length_of_start()) is None or self._is_over:
            return b""
        packed, self._start = self._start[length:], b""
        self._inner = zlib.decompressobj(-zlib.MAX_WBITS)
        return packed

    def _length_of_start(self) -> int | None:
        start = self._start
        if not self._may_be_bare and start[:2] == _GZIP[: len(start)]:
            self._is_gzip = True
            length = _length_of_gzip(start)
            if length is None and len(start) > _PIECE:
                raise UnpackError("the body cannot be unpacked: its gzip has a header without end")
            return length
        if self._members:
            self._is_over = True
            return None
        if len(start) < 2 and (self._may_be_bare or start[0] & 15 == zlib.DEFLATED):
            return None
        if start[0] & 15 == zlib.DEFLATED and int.from_bytes(start[:2]) % 31 == 0:
            return 2
        if not self._may_be_bare:
            raise UnpackError("the body cannot be unpacked: it is no gzip")
        return 0

    def _ended(self) -> bytes:
        """Take the end of a member; give what came behind it."""
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise UnpackError(f"the body is packed in more than {_MOST_MEMBERS} members")
        packed: bytes = self._inner.unused_data
        self._inner, self._is_over = None, not self._is_gzip
        self._left_of_end = _GZIP_SUMS
        return packed


def _length_of_gzip(start: bytes) -> int | None:
    """Give the bytes of the header of a member (RFC 1952, 2.3); None: it has not come whole."""
    if len(start) < _GZIP_LEAST:
        return None
    flags, at = start[3], _GZIP_LEAST
    if flags & 4:  # FEXTRA
        at += 2 + int.from_bytes(start[at : at + 2], "little")
    for text in (8, 16):  # FNAME, FCOMMENT
        if flags & text:
            at = start.find(b"\0", at) + 1
            if not at:
                return None
    if flags & 2:  # FHCRC
        at += 2
    return at if at <= len(start) else None


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
    "gzip": lambda: _Inflate(may_be_bare=False),
    "x-gzip": lambda: _Inflate(may_be_bare=False),
    "deflate": lambda: _Inflate(may_be_bare=True),
    "zstd": _Zstd,
}
