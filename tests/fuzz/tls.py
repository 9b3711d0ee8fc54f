"""Records of TLS (RFC 8446, 5) in place of a handshake, with HTTP and other words among them."""

import random
import struct

from tests.fuzz.script import Script, in_pieces, mutated, weighted


def response(dice: random.Random) -> Script:
    """Give what comes back to a ClientHello."""
    records = [_record(dice) for _ in range(dice.choice((1, 1, 2, 5)))]
    data = b"".join(records)
    if dice.random() < 0.3:
        data = mutated(dice, data)
    return Script(in_pieces(dice, data), weighted(dice, close=30, reset=20, hang=20, half=20))


def _record(dice: random.Random) -> bytes:
    hello = (
        b"\x03\x03"
        + dice.randbytes(32)
        + b"\x20"
        + dice.randbytes(32)
        + dice.choice((b"\x13\x01", b"\xc0\x2f", b"\0\0"))
        + b"\0"
    )
    extensions = dice.choice((b"\0\x2b\0\x02\x03\x04", b"\0\x10\0\x05\0\x03\x02h2", dice.randbytes(8), b""))
    hello += struct.pack(">H", len(extensions)) + extensions
    handshake = bytes((dice.choice((2, 2, 2, 0, 1, 4, 11, 20, 255)),)) + struct.pack(">I", len(hello))[1:] + hello
    alerts = bytes((2, dice.randrange(256))), bytes((1, dice.choice((0, 90, 112))))
    made = (
        (22, handshake), (22, handshake), (22, b""), (21, alerts[0]), (21, alerts[1]), (20, b"\x01"),
        (23, dice.randbytes(50)), (dice.randrange(256), dice.randbytes(20)),
    )  # fmt: skip
    kind, payload = dice.choice(made)
    told = len(payload) if dice.random() < 0.9 else dice.choice((0, 1, 16_641, 65_535))
    record = struct.pack(">BHH", kind, dice.choice((0x0303, 0x0301, 0x0200)), told) + payload
    return dice.choice((record, record, record, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ESMTP\r\n"))
