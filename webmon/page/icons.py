"""The tab's icon, which tells the state by shape and colour: the shapes are those of the pages."""

import re
from importlib import resources
from typing import Final

from webmon.page.model import State

_COLOURS: Final = {
    State.UP: "#218a52",
    State.SLOW: "#c47a12",
    State.PARTIAL: "#c47a12",
    State.DOWN: "#d42a3b",
    State.MAINTENANCE: "#3a6bd0",
    State.UNKNOWN: "#6b7585",
}


def icon(state: State) -> bytes:
    """Draw it."""
    shapes = (resources.files("webmon.page") / "templates" / "shapes.html").read_text(encoding="utf-8")
    found = re.search(rf'<symbol id="{state}" viewBox="([^"]+)">(.*?)</symbol>', shapes)
    assert found is not None
    drawn = found[2].replace("var(--card)", "#fff")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{found[1]}" color="{_COLOURS[state]}" fill="none" '
        f'stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">{drawn}</svg>\n'
    ).encode()
