"""Sites that say markup wherever a check quotes them, and targets whose names and labels are no better.

A test watches them with a real agent, and sees that it is text wherever it comes out.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any, Final

from tests.certificates import issue, server_of
from tests.hostile import HostileServer, page, redirect
from tests.streams import say
from tests.unit.page.fakes import HOSTILE, LONG, RIGHT_TO_LEFT

EVIL: Final = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>]]>{{7*7}}"
NAMES: Final = (*(name for name in HOSTILE if name.isprintable()), LONG, RIGHT_TO_LEFT[0])
"""What a targets file may call something: control characters are a fault there."""


@contextlib.contextmanager
def sites() -> Iterator[list[dict[str, Any]]]:
    """Serve them; give the targets, as a targets file has them."""
    evil = EVIL.encode()
    # The subject of a certificate has room for 64 characters.
    certificate = server_of(issue(EVIL[:64]))
    secure = HostileServer(page(b"fine"), certificate)
    fine = HostileServer(page(b"fine"))
    served: dict[str, tuple[HostileServer, str, dict[str, Any]]] = {
        "redirect": (HostileServer(redirect(lambda: f"ftp://{EVIL}/")), "http", {}),
        "certificate": (secure, "https", {}),
        "reason": (HostileServer(page(evil, status=b"500 " + evil)), "http", {}),
        "header": (
            HostileServer(page(b"fine", b"X-State: " + evil)),
            "http",
            {"expect": {"headers": {"X-State": "^ok$"}}},
        ),
        "json": (
            HostileServer(page(json.dumps({"state": f"{EVIL}\x1b[2J\r\nSet-Cookie: a=b"}).encode())),
            "http",
            {"expect": {"json": [{"path": "$.state", "equals": "ok"}]}},
        ),
        "banner": (HostileServer(say(b"220 " + evil + b"\x1b[2J\r\n")), "tcp", {"dialogue": [{"expect": "^220 "}]}),
        "refusal": (HostileServer(say(b"554 " + evil + b"\r\n")), "smtp", {}),
        **{f"fine {place}": (fine, "http", {}) for place in range(len(NAMES) - 7)},
    }
    with contextlib.ExitStack() as serving:
        for server in {id(server): server for server, _, _ in served.values()}.values():
            serving.enter_context(server)
        yield [
            {
                "name": name,
                "url": f"{scheme}://localhost:{server.port}/"
                if "http" in scheme
                else f"{scheme}://localhost:{server.port}",
                "labels": {name[:50]: EVIL, "team": name},
                "interval": "5s",
                "timeout": "4s",
                **more,
            }
            for name, (server, scheme, more) in zip(NAMES, served.values(), strict=True)
        ]
