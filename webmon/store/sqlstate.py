"""The SQLSTATE of a connection that the server refuses.

The driver gives only the server's words for it, in the server's language (lc_messages, which a plain role may not set):
a libpq that is told to be terse gives the code in their place, but it takes a connection that is not yet made.
"""

import ctypes
import re
import select
import time
from collections.abc import Mapping
from typing import Any, Final

import psycopg2
from psycopg2 import _psycopg, extensions

_PQERRORS_SQLSTATE: Final = 3
"""libpq-fe.h, of libpq 12 and later."""
_CODE: Final = re.compile(r":\s+([0-9A-Z]{5})\s*$", re.MULTILINE)
_AMBIGUOUS: Final = "28000"


def of_refusal(arguments: Mapping[str, Any], within_secs: float) -> str | None:
    """Connect again, as before, and give the code of the server's refusal.

    Args:
        arguments: what psycopg2.connect was given.
        within_secs: how long it may take.

    Returns:
        the SQLSTATE; None where the server does not refuse us this time, or says nothing in time.
    """
    ends = time.monotonic() + within_secs
    try:
        connection = psycopg2.connect(**arguments, async_=True)
        try:
            # The driver's library finds the libpq that it is linked with, wherever that is.
            ctypes.CDLL(_psycopg.__file__).PQsetErrorVerbosity(
                ctypes.c_void_p(connection.pgconn_ptr), ctypes.c_int(_PQERRORS_SQLSTATE)
            )
            while (state := connection.poll()) != extensions.POLL_OK:
                waiting = select.poll()
                waiting.register(connection, select.POLLIN if state == extensions.POLL_READ else select.POLLOUT)
                if not waiting.poll(max(0.0, ends - time.monotonic()) * 1000):
                    return None
        finally:
            connection.close()
    except (psycopg2.OperationalError, UnicodeDecodeError) as error:
        return chosen(str(error))
    return None


def chosen(text: str) -> str | None:
    """Choose among the codes of several attempts (with TLS and without): 28000 may say no more than "not like this"."""
    codes: list[str] = _CODE.findall(text)
    telling = [code for code in codes if code != _AMBIGUOUS]
    return next(iter(telling or codes), None)
