"""The page's file as a model: its keys, their types, and what a right value of each is.

The messages of `webmon page check` and the JSON Schema for editors are both made from it. A copy of the schema is
checked in as webmon/page.schema.json.
"""

import json
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, StrictStr

from webmon.alarm.model import MatchModel, Name, Text
from webmon.check.result import URL_LIMIT
from webmon.targets.keys import Model, right

Show = Literal["response", "vantages", "certificate", "url", "address", "error"]
"""What is public of a target beside its name and whether it works: response times, the names of vantages and what each
saw, when the certificate ends, the URL, the address that answered, and the text of an error."""
A_SLUG = "^[a-z0-9]+(-[a-z0-9]+)*$"
AN_ID = "1 to 60 small letters, digits and single dashes between them"

Slug = Annotated[StrictStr, Field(pattern=A_SLUG, max_length=60)]


class TargetModel(Model):
    """One target that is public, and its name there."""

    model_config = ConfigDict(title="Target")

    target: Annotated[Text, Field(max_length=URL_LIMIT)] = Field(description="the name of a target")
    as_: Name | None = Field(default=None, alias="as", description="a text, in quotes")
    id: Slug | None = right(AN_ID)


class GroupModel(Model):
    """Targets that stand together: those that are listed, and those that `match` fits."""

    model_config = ConfigDict(title="Group")

    name: Name = Field(description="a text, in quotes")
    id: Slug | None = right(AN_ID)
    match: MatchModel | None = right("a mapping with names or labels")
    targets: Annotated[list[TargetModel], Field(min_length=1)] | None = right(
        'a list of mappings, such as {target: api-eu, as: "API, Europe"}'
    )
    show: list[Show] | None = right(f"a list of {', '.join(get_args(Show))}")


class PageFile(Model):
    """The page's file: what of webmon's targets is public, and under which names."""

    title: Name = Field(description="a text, in quotes")
    groups: Annotated[list[GroupModel], Field(min_length=1, max_length=200)] = Field(
        description="a list of mappings with name, and match or targets"
    )


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of a page's file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **PageFile.model_json_schema(),
        "title": "webmon page",
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
