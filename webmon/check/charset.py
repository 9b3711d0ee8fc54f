"""A page's text: by its byte order mark, by its header, by what it declares itself; and then its bytes as they are.

What a pattern looks for is text, and a page may be in any charset; browsers decide as said here
(https://html.spec.whatwg.org/#determining-the-character-encoding), and by the labels of
https://encoding.spec.whatwg.org/#names-and-labels. A page that says nothing, or says it wrong, is looked through as it
came, so a pattern in UTF-8 is found in it; where it is no UTF-8, as Windows-1252 too, which it then is for a browser.
Letters with marks may be written in two ways (NFC and NFD) that look the same; both are looked for.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from w3lib.encoding import read_bom, resolve_encoding, to_unicode

_DECLARED_WITHIN: Final = 64 << 10
"""Bytes in which a page may declare its charset: browsers look through all of its <head>."""
_IN_HEADER: Final = re.compile(r"""charset\s*=\s*["']?([^\s"',;]+)""", re.IGNORECASE)
_DECLARATION: Final = re.compile(
    rb"""<!--.*?(?:-->|$) | <(?P<end>body)[\s>] | <meta(?P<meta>[\s/][^>]*) | <\?xml\s(?P<xml>[^>]*)""",
    re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE: Final = re.compile(rb"""([^\s=/"']+)\s*=\s*("[^"]*"|'[^']*'|[^\s/?]+)""")
_XML_IN_16: Final = {b"<\0?\0x\0": "utf-16-le", b"\0<\0?\0x": "utf-16-be"}

_NO_LETTER: Final = "\ufffd"
"""What browsers show for bytes that are none of the charset; patterns do not go past the bytes themselves."""
_NONE_SAID: Final = "cp1252"
_AS_IT_IS: Final = "utf-8"
_NOT_LIKE_ASCII: Final = frozenset({"utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "iso2022_jp"})

_LABELS: Final = {
    label: charset
    for charset, labels in {
        "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
        "utf-16-le": "utf-16 unicode ucs-2 csunicode iso-10646-ucs-2 unicodefeff",
        "utf-16-be": "unicodefffe",
        "iso8859-6": "iso-8859-6-e iso-8859-6-i csiso88596e csiso88596i",
        "iso8859-7": "sun_eu_greek",
        "iso8859-8": "visual logical iso-8859-8-e iso-8859-8-i csiso88598e csiso88598i",
        "iso8859-15": "csisolatin9",
        "koi8-r": "koi koi8",
        "koi8-u": "koi8-ru",
        "mac-roman": "mac csmacintosh x-mac-roman",
        "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
        "cp874": "dos-874",
        "cp1252": "ansi_x3.4-1968 iso_8859-1:1987",
        "gb18030": "x-gbk gb_2312 csgb2312",
        "big5hkscs": "cn-big5 x-x-big5",
        "euc_jp": "x-euc-jp cseucpkdfmtjapanese",
        "cp949": "windows-949 cseuckr csksc56011987 iso-ir-149 ks_c_5601-1989 ksc_5601",
    }.items()
    for label in labels.split()
}
"""What browsers call charsets, beside what Python calls them."""
_OTHER_FORMS: Final = ((re.compile(r"x-cp(125[0-8])"), r"cp\1"), (re.compile(r"iso8859([0-9]{1,2})"), r"iso-8859-\1"))


def texts(body: bytes, content_type: str | None) -> Iterator[bytes]:
    """Give a body as UTF-8: as the page says that it is to be read, and as it came.

    Args:
        body: what came, unpacked.
        content_type: the header, where there is one.
    """
    charset = _charset(body, content_type)
    if charset != _AS_IT_IS and not (body.isascii() and charset not in _NOT_LIKE_ASCII):
        text = to_unicode(body, charset).removeprefix("\ufeff")
        yield text.encode(errors="replace")
        yield from _composed(text)
        yield body
        return
    if body.startswith(codecs.BOM_UTF8):
        body = body.removeprefix(codecs.BOM_UTF8)
    yield body
    if not body.isascii():
        text = body.decode(errors="replace")
        if (
            text.find(_NO_LETTER, 0, -1) >= 0 and (shown := text.encode()) != body
        ):  # the last may be one that was cut off
            yield shown
        yield from _composed(text)


def _composed(text: str) -> Iterator[bytes]:
    """Give a text in NFC, where it is in another form."""
    if not unicodedata.is_normalized("NFC", text):
        yield unicodedata.normalize("NFC", text).encode(errors="replace")


def _charset(body: bytes, content_type: str | None) -> str:
    """Give Python's name of a body's charset."""
    if (marked := read_bom(body)[0]) is not None:
        return marked
    label = _IN_HEADER.search(content_type or "")
    found = (_resolved(label[1]) if label else None) or _declared(body)
    return found or (_AS_IT_IS if _is_utf8(body) else _NONE_SAID)


def _declared(body: bytes) -> str | None:
    for start, charset in _XML_IN_16.items():
        if body.startswith(start):
            return charset
    head = body[:_DECLARED_WITHIN].lower()
    if b"charset" not in head and b"encoding" not in head:
        return None
    for match in _DECLARATION.finditer(head):
        if match["end"]:
            break
        said = {name: value.strip(b"\"'") for name, value in _ATTRIBUTE.findall(match["meta"] or match["xml"] or b"")}
        label = said.get(b"charset") or said.get(b"encoding") or b""
        if b"http-equiv" in said and not label:
            label = said.get(b"content", b"").rpartition(b"charset=")[2]
        if (named := _resolved(label.strip().decode("latin-1"))) is not None:
            # What was read as bytes of ASCII is in no charset of 16 bits.
            return _AS_IT_IS if named.startswith("utf-16") else named
    return None


def _resolved(label: str) -> str | None:
    label = label.lower()
    for form, charset in _OTHER_FORMS:
        if (match := form.fullmatch(label)) is not None:
            label = match.expand(charset)
    return _LABELS.get(label) or resolve_encoding(label)


def _is_utf8(body: bytes) -> bool:
    """Tell whether it is UTF-8, but perhaps for a last letter that was cut off."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(body)
    except UnicodeDecodeError:
        return False
    return True
