"""A page's text: by its byte order mark, by its header, by its meta element; and then its bytes as they are.

What a pattern looks for is text, and a page may be in any charset; browsers decide as said here
(https://html.spec.whatwg.org/#determining-the-character-encoding). A page that says nothing, or says it wrong, is
looked through as it came, so a pattern in UTF-8 is found in it as before.
"""

import codecs
from collections.abc import Iterator
from typing import Final

from w3lib.encoding import html_to_unicode

_AS_IT_IS: Final = frozenset({"utf-8", "ascii"})
_NONE_SAID: Final = "ascii"


def texts(body: bytes, content_type: str | None) -> Iterator[bytes]:
    """Give a body as UTF-8: as the page says that it is to be read, and as it came.

    Args:
        body: what came, unpacked.
        content_type: the header, where there is one.
    """
    if (decoded := _decoded(body, content_type)) is not None:
        yield decoded
    yield body


def _decoded(body: bytes, content_type: str | None) -> bytes | None:
    charset, text = html_to_unicode(content_type, body, default_encoding=_NONE_SAID)
    if charset in _AS_IT_IS and not body.startswith(codecs.BOM_UTF8):
        return None
    return text.encode(errors="replace")
