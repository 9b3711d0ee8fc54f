"""In which charset a page is: by its byte order mark, by its header, by what it declares itself.

Browsers decide as said here (https://html.spec.whatwg.org/#determining-the-character-encoding), and by the labels of
https://encoding.spec.whatwg.org/#names-and-labels.
"""

import codecs
import re
from typing import Final

from w3lib.encoding import read_bom, resolve_encoding

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

UTF_8: Final = "utf-8"
_NONE_SAID: Final = "cp1252"
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
_OTHER_FORMS: Final = ((re.compile(r"x-cp(125[0-8])"), r"cp\1"), (re.compile(r"iso8859([0-9]{1,2})"), r"iso-8859-\1"))


def charset_of(body: bytes, content_type: str | None) -> str:
    """Give Python's name of a body's charset; of one that says nothing UTF-8 where it is that, or else Windows-1252.

    Args:
        body: what came, unpacked.
        content_type: the header, where there is one.
    """
    if (marked := read_bom(body)[0]) is not None:
        return marked
    kind = content_type or ""
    found = _in_header(kind) or _declared(body, kind.lower())
    return found or (UTF_8 if _is_utf8(body) else _NONE_SAID)


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
    return UTF_8 if charset is not None and charset.startswith("utf-16") else charset


def _resolved(label: str) -> str | None:
    label = label.lower()
    for form, charset in _OTHER_FORMS:
        if (match := form.fullmatch(label)) is not None:
            label = match.expand(charset)
    return _LABELS.get(label) or resolve_encoding(label)


def _is_utf8(body: bytes) -> bool:
    """Tell whether it is UTF-8, but perhaps for a last letter that was cut off."""
    try:
        codecs.utf_8_decode(body)
    except UnicodeDecodeError:
        return False
    return True
