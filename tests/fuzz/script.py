"""What a server does in one case, and how bytes are made wrong: all of it drawn from a seed and a number."""

import random
from typing import Final, Literal, NamedTuple, cast

End = Literal["close", "reset", "hang", "half", "stay"]
"""`half`: close our half of it; `stay`: take the next request."""

RUBBISH: Final = (
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\xff",
    b"\x80",
    b":",
    b" ",
    b"\t",
    b"\x1b[2J",
    b"%00",
    b",",
)


class Script(NamedTuple):
    """What is sent, as it is asked for."""

    steps: tuple[bytes | float, ...]
    """Bytes to send, and seconds to wait."""
    end: End


def draw(seed: int, number: int, what: str) -> random.Random:
    """Give the dice of one thing in a case: what they show depends on nothing else."""
    return random.Random(f"{seed}/{number}/{what}")


def mutated(dice: random.Random, data: bytes, most: int = 4) -> bytes:
    """Make a few bytes wrong: turned, taken out, put in, said twice, cut off."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, most)):
        if not changed:
            break
        at = dice.randrange(len(changed))
        until = min(len(changed), at + dice.choice((1, 1, 2, 4, 16, 256)))
        match dice.randrange(6):
            case 0:
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                del changed[at:until]
            case 2:
                changed[at:at] = dice.choice(RUBBISH) * dice.choice((1, 1, 3, 100))
            case 3:
                changed[at:at] = changed[at:until]
            case 4:
                changed[at:until] = dice.randbytes(until - at)
            case _:
                del changed[at:]
    return bytes(changed)


def in_pieces(dice: random.Random, data: bytes) -> tuple[bytes | float, ...]:
    """Send it at once, or in pieces with pauses, of which one may be longer than a check."""
    if dice.random() < 0.6 or len(data) < 2:
        return (data,)
    cuts = sorted(dice.randrange(1, len(data)) for _ in range(dice.randint(1, 5)))
    steps: list[bytes | float] = []
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        steps += [data[begin:end], dice.choice((0.0, 0.001, 0.01, 0.05))]
    if dice.random() < 0.15:
        steps.insert(dice.randrange(len(steps)), dice.uniform(0.3, 1.5))
    return tuple(steps)


def weighted(dice: random.Random, **weights: int) -> End:
    """Choose an end by weight."""
    return cast("End", dice.choices(list(weights), list(weights.values()))[0])
