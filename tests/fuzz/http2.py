"""Frames of HTTP/2 that are valid or nearly (RFC 9113), and header blocks likewise (RFC 7541)."""

import random
import struct
from typing import Final

from hpack import Encoder

from tests.fuzz import http1
from tests.fuzz.script import Script, in_pieces, mutated, weighted

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, HAS_PRIORITY, ACK = 1, 4, 8, 32, 1
STREAM: Final = 1
"""Of the first request of a connection."""
GREETING: Final = struct.pack(">HI", 3, 100)
"""SETTINGS: 100 streams at once."""

FIELDS: Final = (
    (b"content-type", b"text/html; charset=utf-8"), (b"server", b"x"), (b"content-length", b"5"),
    (b"set-cookie", b"a=b"),
    (b"content-encoding", b"gzip"), (b"location", b"/elsewhere"), (b"Upper", b"case"), (b"connection", b"close"),
    (b"transfer-encoding", b"chunked"), (b":status", b"200"), (b":path", b"/"), (b":unknown", b"x"), (b"", b"no name"),
    (b"x\r\ny", b"split"), (b"x", b"a\r\nb: c"), (b"x", b"\0"), (b"x", b"y" * 20_000), (b"te", b"trailers"),
    (b"content-length", b"-1"), (b"content-length", b"99999999999999999999"), (b"alt-svc", b'h3=":1"'), (b"x", b""),
)  # fmt: skip
STATUSES: Final = (
    b"000",
    b"099",
    b"100",
    b"101",
    b"103",
    b"204",
    b"304",
    b"404",
    b"503",
    b"999",
    b"1000",
    b"",
    b"2x0",
    b"-20",
    b" 200",
)
BLOCKS: Final = (
    b"", b"\x80", b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x3f\xff\xff\xff\xff\x0f", b"\x3f\xe1\x1f\x88",
    b"\x20\x20\x20\x88", b"\xbe", b"\x00\x01", b"\x00\xff\xff\xff\xff\x0f", b"\x00\x81\xff\x81\xff",
    b"\x40\x84\xff\xff\xff\xff\x00", b"\x88\x88",
)  # fmt: skip
"""Blocks of HPACK: an index of none, numbers without an end, sizes of the table, strings that end early, no Huffman."""


def frame(kind: int, flags: int, stream: int, payload: bytes, length: int | None = None) -> bytes:
    """Write a frame; its length may be a lie."""
    told = len(payload) if length is None else length
    return struct.pack(">I", told & 0xFFFFFF)[1:] + struct.pack(">BBI", kind, flags, stream & 0xFFFFFFFF) + payload


def greeting(dice: random.Random) -> bytes:
    """Give the SETTINGS that a connection begins with."""
    if dice.random() < 0.85:
        return frame(SETTINGS, 0, 0, GREETING)
    names, values = (1, 2, 3, 4, 5, 6, 8, 9, 99), (0, 1, 16_384, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
    odd = b"".join(struct.pack(">HI", dice.choice(names), dice.choice(values)) for _ in range(dice.choice((1, 3, 500))))
    return frame(SETTINGS, dice.choice((0, 0, ACK)), dice.choice((0, 0, 1)), odd[: len(odd) - dice.choice((0, 0, 1))])


def response(dice: random.Random, here: str) -> Script:
    """Give the frames that answer the first request."""
    wrong = dice.random() < 0.7
    frames = [frame(SETTINGS, ACK, 0, b""), *_answer(dice, here, wrong=wrong)]
    if wrong:
        for _ in range(dice.choice((0, 1, 1, 2, 4))):
            frames.insert(dice.randrange(len(frames) + 1), _odd(dice))
        match dice.randrange(6):
            case 0:
                at = dice.randrange(len(frames))
                frames[at] = mutated(dice, frames[at])
            case 1:
                dice.shuffle(frames)
            case 2:
                frames = [mutated(dice, b"".join(frames))]
    return Script(in_pieces(dice, b"".join(frames)), weighted(dice, stay=50, close=25, reset=10, hang=10))


def _answer(dice: random.Random, here: str, *, wrong: bool) -> list[bytes]:
    fields = [(b":status", dice.choice(STATUSES) if wrong and dice.random() < 0.3 else b"200")]
    body = b"".join(dice.choice(http1.WORDS) for _ in range(dice.choice((0, 1, 10, 2000))))
    if dice.random() < 0.2:
        fields = [(b":status", b"302"), (b"location", here.encode() + b"%d" % dice.randrange(100))]
    elif dice.random() < 0.4:
        coding = dice.choice(list(http1.CODINGS))
        body = http1.CODINGS[coding](body)
        fields.append((b"content-encoding", coding))
    if wrong:
        fields += dice.choices(FIELDS, k=dice.choice((0, 1, 1, 3)))
        if dice.random() < 0.1:
            dice.shuffle(fields)
    block = Encoder().encode(fields, huffman=dice.random() < 0.7)
    if wrong and dice.random() < 0.2:
        block = dice.choice(
            (mutated(dice, block), dice.choice(BLOCKS), block + dice.choice(BLOCKS), dice.randbytes(60))
        )
    return [*_headers(dice, block, wrong=wrong), *_data(dice, body, wrong=wrong)]


def _headers(dice: random.Random, block: bytes, *, wrong: bool) -> list[bytes]:
    if not wrong or dice.random() < 0.7:
        return [frame(HEADERS, END_HEADERS, STREAM, block)]
    if dice.random() < 0.3:  # a flood that never says that it ends
        rest = dice.choice((b"", b"\x00\x01a\x01b", b"\x00\x01a\x7f\x80\x3e" + b"b" * 8000))
        return [
            frame(HEADERS, 0, STREAM, block),
            frame(CONTINUATION, 0, STREAM, rest) * dice.choice((10, 500, 3000 if len(rest) < 99 else 200)),
        ]
    if dice.random() < 0.3:  # one large field, told again and again by its number in the table
        bomb = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"b" * 4000 + b"\xbe" * 8000
        return [frame(HEADERS, END_HEADERS, STREAM, block + bomb)]
    cut = dice.randrange(len(block) + 1)
    last = frame(
        CONTINUATION, dice.choice((END_HEADERS, END_HEADERS, 0)), dice.choice((STREAM, STREAM, 3)), block[cut:]
    )
    return [frame(HEADERS, 0, STREAM, block[:cut]), last]


def _data(dice: random.Random, body: bytes, *, wrong: bool) -> list[bytes]:
    step = dice.choice((1000, 16_384))
    frames = [frame(DATA, 0, STREAM, body[at : at + step]) for at in range(0, len(body), step)]
    if wrong and dice.random() < 0.1:
        frames += [frame(DATA, dice.choice((0, PADDED)), STREAM, b"")] * dice.choice((1, 1000))
    if dice.random() < 0.1:
        frames.append(frame(HEADERS, END_HEADERS | END_STREAM, STREAM, Encoder().encode([(b"x-trailer", b"1")])))
    elif not wrong or dice.random() < 0.7:
        frames.append(frame(DATA, END_STREAM, STREAM, b""))
    return frames


def _odd(dice: random.Random) -> bytes:
    stream = dice.choice((0, 1, 1, 2, 3, 0x7FFFFFFF, 0xFFFFFFFF))
    number = struct.pack(">I", dice.choice((0, 1, 2, 5, 7, 8, 11, 13, 0x7FFFFFFF, 0xFFFFFFFF)))
    some = dice.randbytes(dice.choice((0, 1, 4, 5, 8, 40)))
    made = (
        frame(RESET, 0, stream, number),
        frame(GOAWAY, 0, dice.choice((0, 0, 1)), number + number + some),
        frame(WINDOW, 0, stream, number) * dice.choice((1, 1, 1000)),
        frame(PING, dice.choice((0, ACK)), 0, bytes(8)) * dice.choice((1, 1, 2000)),
        frame(SETTINGS, 0, 0, GREETING) * dice.choice((1, 1, 1500)),
        frame(SETTINGS, ACK, 0, some),
        frame(PRIORITY, 0, stream, number + b"\x10") * dice.choice((1, 500)),
        frame(PUSH, END_HEADERS, STREAM, struct.pack(">I", 2) + Encoder().encode([(b":path", b"/x")])),
        frame(CONTINUATION, END_HEADERS, stream, some),
        frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, stream, b"\xff" + number + b"\x10\x88"),
        frame(DATA, PADDED, stream, b"\xff" + some),
        frame(DATA, 0, stream, some, length=dice.choice((0, 1, 16_385, 0xFFFFFF))),
        frame(dice.randrange(256), dice.randrange(256), stream, some),
        frame(10, 0, 0, b"\0\0" + b'h3=":1"'),
        frame(12, 0, 0, b"\0\x05https"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    )
    return dice.choice(made)
