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
_ANYWHERE_WITHIN: Final = 1 << 10
"""Bytes in which it may do so behind <body>, too."""
_IN_HEADER: Final = re.compile(r"""(?:^|[\s;])charset\s*=\s*["']?([^\s"';]+)""", re.IGNORECASE)
_TAG: Final = re.compile(
    rb"""<(?: (?P<comment>!--) | [!?][^>]*+ | /(?![a-z])[^>]*+
    | (?P<name>/?[a-z][^\s/>]*+) (?P<said>(?: [^=>]++ | (?>=\s*(?:"[^"]*(?:"|\Z)|'[^']*(?:'|\Z))) | =)*+) )""",
    re.VERBOSE,
)
_END_OF_COMMENT: Final = re.compile(rb"--!?>")
_END_OF: Final = {
    name: re.compile(rb"</%s[\s/>]" % name) for name in (b"script", b"style", b"title", b"textarea", b"iframe", b"xmp")
}
"""Elements whose text holds no others, and what ends each."""
_ATTRIBUTE: Final = re.compile(rb"""([^\s=/"']++)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]+))?""")
_IN_CONTENT: Final = re.compile(rb"""charset\s*=\s*["']?([^\s;"']++)(?<!,)""")
_XML: Final = re.compile(rb"\s*<\?xml\s([^>]*)")
_XML_IN_16: Final = {b"<\0?\0x\0": "utf-16-le", b"\0<\0?\0x": "utf-16-be"}

_NO_LETTER: Final = "\ufffd"
"""What browsers show for bytes that are none of the charset; patterns do not go past the bytes themselves."""
_NONE_SAID: Final = "cp1252"
_AS_IT_IS: Final = "utf-8"
_NOT_LIKE_ASCII: Final = frozenset({"utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "iso2022_jp_ext"})
_JAPANESE: Final = frozenset({"euc_jp", "iso2022_jp_ext"})
_OF_CP932: Final = "webmon.cp932"
"""What is done with the letters that NEC and IBM added to JIS X 0208: Python knows them in Shift_JIS alone."""

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
        "iso2022_jp_ext": "iso-2022-jp csiso2022jp",
        "cp949": "windows-949 cseuckr csksc56011987 iso-ir-149 ks_c_5601-1989 ksc_5601",
    }.items()
    for label in labels.split()
}
"""What browsers call charsets, beside what Python calls them."""
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
_OTHER_FORMS: Final = ((re.compile(r"x-cp(125[0-8])"), r"cp\1"), (re.compile(r"iso8859([0-9]{1,2})"), r"iso-8859-\1"))


def texts(body: bytes, content_type: str | None) -> Iterator[bytes]:
    """Give a body as UTF-8: as the page says that it is to be read, and as it came.

    Args:
        body: what came, unpacked.
        content_type: the header, where there is one.
    """
    charset = _charset(body, content_type)
    if charset != _AS_IT_IS and not (body.isascii() and charset not in _NOT_LIKE_ASCII):
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


def _charset(body: bytes, content_type: str | None) -> str:
    """Give Python's name of a body's charset."""
    if (marked := read_bom(body)[0]) is not None:
        return marked
    kind = content_type or ""
    found = _in_header(kind) or _declared(body, kind.lower())
    return found or (_AS_IT_IS if _is_utf8(body) else _NONE_SAID)


def _in_header(content_type: str) -> str | None:
    """Give what the header says; of several headers the last that says something counts."""
    for one in reversed(content_type.split(",")):
        if (match := _IN_HEADER.search(one)) is not None and (charset := _resolved(match[1])) is not None:
            return charset
    return None


def _declared(body: bytes, content_type: str) -> str | None:
    for start, charset in _XML_IN_16.items():
        if body.startswith(start):
            return charset
    head = body[:_DECLARED_WITHIN].lower()
    if "html" in content_type and "xml" not in content_type:
        return _in_meta(head) or _in_xml(head)
    return _in_xml(head) or _in_meta(head)


def _in_xml(head: bytes) -> str | None:
    return _as_ascii(_said(match[1]).get(b"encoding", b"")) if (match := _XML.match(head)) is not None else None


def _in_meta(head: bytes) -> str | None:
    """Give what the first meta element says that says something: as browsers do, before the page is read."""
    last, at, is_in_body = head.rfind(b"<meta") if b"charset" in head else -1, 0, False
    while at <= last and (tag := _TAG.search(head, at)) is not None:
        if is_in_body and tag.start() >= _ANYWHERE_WITHIN:
            break
        name, at = tag["name"], tag.end()
        ends = _END_OF_COMMENT if tag["comment"] else _END_OF.get(name)
        if ends is not None:
            end = ends.search(head, at - 2)  # the first of a comment's hyphens may be its last
            at = end.end() if end is not None else len(head)
        elif name == b"meta" and (charset := _of_meta(_said(tag["said"]))) is not None:
            return charset
        is_in_body = is_in_body or name == b"body"
    return None


def _of_meta(said: dict[bytes, bytes]) -> str | None:
    label = said.get(b"charset", b"")
    if not label and said.get(b"http-equiv", b"").strip() == b"content-type":
        match = _IN_CONTENT.search(said.get(b"content", b""))
        label = match[1] if match is not None else b""
    return _as_ascii(label)


def _said(attributes: bytes) -> dict[bytes, bytes]:
    return {name: value.strip(b"\"'") for name, value in _ATTRIBUTE.findall(attributes) if value}


def _as_ascii(label: bytes) -> str | None:
    """Give the charset of a label that was read as bytes of ASCII: it is none of 16 bits."""
    charset = _resolved(label.strip().rstrip(b"/?").decode("latin-1"))
    return _AS_IT_IS if charset is not None and charset.startswith("utf-16") else charset


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
