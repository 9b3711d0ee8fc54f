"""The API against its own description: schemathesis asks what a stranger would, and holds each answer to the schema."""

from typing import Any

import schemathesis
from hypothesis import settings

from tests.unit.page import fakes
from tests.unit.page.faces import VIEW
from webmon.page.public_app import public_app
from webmon.page.site import PublicSite

_LOOK = fakes.look(fakes.strange())
_FILE = fakes.page_file()
_SCHEMA = schemathesis.openapi.from_asgi(
    "/api/openapi.json", public_app(PublicSite(lambda: _LOOK, lambda: _FILE, lambda: VIEW))
)


@_SCHEMA.parametrize()
@settings(max_examples=25)
def test_each_call_answers_as_it_is_described_whatever_is_asked(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()
