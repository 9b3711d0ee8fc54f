"""Packed bodies: unpacked whatever the pieces in which they come, and within bounds."""

import contextlib
import gzip
import zlib
from collections.abc import Callable
from functools import partial

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from webmon.check.unpack import Unpacker, UnpackError

zipped = partial(gzip.compress, mtime=0)
"""The same bytes in each process: they are in the names of tests."""

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: zipped(data, mtime=0),
    "x-gzip": lambda data: zipped(data, mtime=0),
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
    "identity": bytes,
    "br": bytes,
}


def unpacked(codings: list[str], data: bytes, piece: int = 1000) -> bytes:
    unpack = Unpacker(codings)
    return b"".join(part for at in range(0, len(data), piece) for part in unpack(data[at : at + piece]))


@given(st.binary(max_size=2000), st.lists(st.sampled_from(sorted(PACK)), max_size=2), st.integers(1, 50))
def test_what_was_packed_is_had_back_whatever_the_pieces(data: bytes, codings: list[str], piece: int) -> None:
    packed = data
    for coding in codings:
        packed = PACK[coding](packed)
    assert unpacked(codings, packed, piece) == data


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "zstd"]))
def test_nonsense_is_told_or_let_be_and_never_more_than_that(data: bytes, coding: str) -> None:
    with contextlib.suppress(UnpackError):
        unpacked([coding], data)


def test_a_bomb_comes_in_pieces_that_can_be_counted() -> None:
    for coding in ("gzip", "zstd"):
        unpack = Unpacker([coding])
        packed = PACK[coding](bytes(100 << 20))
        parts = (part for at in range(0, len(packed), 16384) for part in unpack(packed[at : at + 16384]))
        assert len(next(parts)) <= 9 << 20


@pytest.mark.parametrize(
    ("codings", "data", "why"),
    [
        (["gzip"] * 3, b"", "packed 3 times"),
        (["gzip"], b"no gzip", "cannot be unpacked: it is no gzip"),
        (["gzip"], b"\n" + zipped(b"x"), "cannot be unpacked: it is no gzip"),
        (["deflate"], zipped(b"no browser shows it, and no curl"), "cannot be unpacked"),
        (["gzip"], b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 70_000, "a header without end"),
        (["zstd"], b"no zstd at all", "cannot be unpacked"),
        (["gzip"], zipped(b"") * 2000, "more than 1000 members"),
        (["gzip"], zipped(b"")[:10] + b"\0\0\0\xff\xff" * 60_000, "less than it is, by more than 256 KB"),
        (["gzip", "gzip"], zipped(bytes(10) * 60_000 + b"x"), "cannot be unpacked"),
        (["zstd"], zstandard.compress(b"") * 60_000, "less than it is, by more than 256 KB"),
    ],
)
def test_what_is_no_page_says_why(codings: list[str], data: bytes, why: str) -> None:
    with pytest.raises(UnpackError, match=why):
        unpacked(codings, data, 16384)
