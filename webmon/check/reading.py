"""A page's text, as browsers read it; and then its bytes as they are.

What a pattern looks for is text, and a page may be in any charset. One that says nothing, or says it wrong, is looked
through as it came, so a pattern in UTF-8 is found in it; where it is no UTF-8, as Windows-1252 too, which it then is
for a browser. Letters with marks may be written in two ways (NFC and NFD) that look the same; both are looked for.
"""

import codecs
import unicodedata
from collections.abc import Iterator
from typing import Final

from w3lib.encoding import to_unicode

from webmon.check.charset import UTF_8, charset_of

_NO_LETTER: Final = "\ufffd"
"""What browsers show for bytes that are none of the charset; patterns do not go past the bytes themselves."""
_NOT_LIKE_ASCII: Final = frozenset({"utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "iso2022_jp_ext"})
_JAPANESE: Final = frozenset({"euc_jp", "iso2022_jp_ext"})
_OF_CP932: Final = "webmon.cp932"
"""What is done with the letters that NEC and IBM added to JIS X 0208: Python knows them in Shift_JIS alone."""

_WAVES: Final = tuple(zip("\u301c\u2016\u2212\xa2\xa3\xac", "\uff5e\u2225\uff0d\uffe0\uffe1\uffe2", strict=True))
_OTHERWISE: Final = {
    "euc_jp": _WAVES,
    "iso2022_jp_ext": _WAVES,
    "koi8-u": tuple(zip("\u255d\u256c", "\u045e\u040e", strict=True)),
    "gb18030": tuple(
        zip(
            "\ue5e5\ue78d\ue78e\ue78f\ue790\ue791\ue792\ue793\ue794\ue795"
            "\ue796\ue7c7\ue81e\ue826\ue82b\ue82c\ue832\ue843\ue854\ue864",
            "\u3000\ufe10\ufe12\ufe11\ufe13\ufe14\ufe15\ufe16\ufe17\ufe18"
            "\ufe19\u1e3f\u9fb4\u9fb5\u9fb6\u9fb7\u9fb8\u9fb9\u9fba\u9fbb",
            strict=True,
        )
    ),
}
"""Letters that are others for Python than for browsers, and those of browsers."""


def texts(body: bytes, content_type: str | None) -> Iterator[bytes]:
    """Give a body as UTF-8: as the page says that it is to be read, and as it came.

    Args:
        body: what came, unpacked.
        content_type: the header, where there is one.
    """
    charset = charset_of(body, content_type)
    if charset != UTF_8 and not (body.isascii() and charset not in _NOT_LIKE_ASCII):
        for text in _readings(body, charset):
            yield text.encode(errors="replace")
            yield from _composed(text)
        yield body
        return
    if body.startswith(codecs.BOM_UTF8):
        body = body.removeprefix(codecs.BOM_UTF8)
    yield body
    if not body.isascii():
        text = body.decode(errors="replace")
        # The last may be one that was cut off.
        if text.find(_NO_LETTER, 0, -1) >= 0 and (shown := text.encode()) != body:
            yield shown
        yield from _composed(text)


def _composed(text: str) -> Iterator[bytes]:
    """Give a text in NFC, where it is in another form."""
    if not unicodedata.is_normalized("NFC", text):
        yield unicodedata.normalize("NFC", text).encode(errors="replace")


def _readings(body: bytes, charset: str) -> Iterator[str]:
    """Give a body's text as browsers read it, and as Python does where that is another: people type either letter."""
    text = body.decode(charset, _OF_CP932) if charset in _JAPANESE else to_unicode(body, charset)
    theirs = text = text.removeprefix("\ufeff")
    for ours, letter in _OTHERWISE.get(charset, ()):
        theirs = theirs.replace(ours, letter)
    yield theirs
    if theirs != text:
        yield text


def _from_cp932(error: UnicodeError) -> tuple[str, int]:
    """Read two bytes of EUC-JP or ISO-2022-JP as what they are in Shift_JIS."""
    assert isinstance(error, UnicodeDecodeError)
    pair = error.object[error.start : error.start + 2]
    if len(pair) == 2 and (pair[0] ^ pair[1]) < 0x80 and all(0x21 <= byte & 0x7F <= 0x7E for byte in pair):
        row, cell = pair[0] & 0x7F, pair[1] & 0x7F
        lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
        trail = cell + (0x1F + (cell >= 0x60) if row % 2 else 0x7E)
        if (letter := bytes((lead, trail)).decode("cp932", "ignore")) != "":
            return letter, error.start + 2
    return _NO_LETTER, error.end


codecs.register_error(_OF_CP932, _from_cp932)
