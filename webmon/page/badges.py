"""Badges: one fact of a target as a small picture, for the pages of others."""

from typing import Final

from markupsafe import Markup

from webmon.page.answers import SVG, Made
from webmon.page.model import PublicTarget, State
from webmon.page.texts import Texts

KINDS: Final = ("status", "uptime-30d", "response-24h")
_COLOURS: Final = {
    State.UP: "#1f7a49",
    State.SLOW: "#9a5b00",
    State.PARTIAL: "#9a5b00",
    State.DOWN: "#b3202e",
    State.MAINTENANCE: "#345fc0",
    State.UNKNOWN: "#5b6472",
}
_GREY: Final = _COLOURS[State.UNKNOWN]
_LONGEST: Final = 40
_GOOD, _FAIR = 9990, 9900
"""Hundredths of a percent from which an uptime is green, and amber."""
_WIDE: Final = frozenset("mwMW@%")
_NARROW: Final = frozenset("ijlrtfI.,:;'|!()[] -")
_SVG: Final = Markup(
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{left}: {right}">'
    "<title>{left}: {right}</title>"
    '<rect width="{width}" height="20" rx="3" fill="#3b424d"/>'
    '<path d="M{at} 0h{rest}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{rest}z" fill="{colour}"/>'
    '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
    '<text x="{left_x}" y="14" textLength="{left_length}" lengthAdjust="spacingAndGlyphs">{left}</text>'
    '<text x="{right_x}" y="14" textLength="{right_length}" lengthAdjust="spacingAndGlyphs">{right}</text>'
    "</g></svg>\n"
)


def badge(target: PublicTarget, kind: str, t: Texts) -> Made | None:
    """Make a badge; None where that is not public of the target."""
    if kind == "status":
        return draw(target.name, t(target.state), _COLOURS[target.state])
    if kind == "uptime-30d":
        share = next((one.uptime for one in target.uptimes if one.days == 30), None)
        if share is None:
            return draw(t("uptime_30d"), t("no_data"), _GREY)
        state = State.UP if share >= _GOOD else State.SLOW if share >= _FAIR else State.DOWN
        return draw(t("uptime_30d"), t.percent(share), _COLOURS[state])
    if kind == "response-24h" and target.responses is not None:
        found = next((one for one in target.responses if one.days == 1 and one.count), None)
        if found is None:
            return draw(t("response_24h"), t("no_data"), _GREY)
        return draw(t("response_24h"), t.milliseconds(found.p50), "#345fc0")
    return None


def unknown(t: Texts, *, status: int) -> Made:
    """Make the badge of what is not there (404), or of what nothing is known of (200)."""
    made = draw(t("status"), t("not_found") if status == 404 else t("unknown"), _GREY)
    return Made(made.body, made.kind, status)


def draw(left: str, right: str, colour: str) -> Made:
    """Draw two words beside each other."""
    left, right = (_cut(text) for text in (left, right))
    left_length, right_length = _length(left), _length(right)
    at, width = left_length + 12, left_length + right_length + 24
    body = _SVG.format(
        width=width,
        left=left,
        right=right,
        at=at,
        rest=width - at - 3,
        colour=colour,
        left_x=at / 2,
        left_length=left_length,
        right_x=at + (width - at) / 2,
        right_length=right_length,
    )
    return Made(body.encode(errors="replace"), SVG)


def _cut(text: str) -> str:
    """Keep one short line, of characters that XML takes."""
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…"


def _length(text: str) -> int:
    """Guess how wide a text is: another font is pressed into it."""
    return max(8, round(sum(9.5 if c in _WIDE or ord(c) > 0x2E7F else 4.4 if c in _NARROW else 6.9 for c in text)))
