"""page.yml: each fault with its line, and what is public of a file without one."""

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.unit.page import fakes
from webmon.check.result import Outcome
from webmon.cli import main
from webmon.errors import UserError
from webmon.page import file_model
from webmon.page.file import Public, load
from webmon.page.model import choose, public
from webmon.page.slug import slug, told_apart
from webmon.page.snapshot import History

WHOLE = """\
title: Example status
groups:
  - {name: Shop, match: {labels: {team: shop}}, show: [response, vantages]}
  - name: API
    targets:
      - {target: api-eu, as: "API, Europe"}
      - {target: api-us, as: "API, America", id: us}
"""
ROOT = Path(__file__).parents[3]


def faults(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "page.yml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load(file)
    return [line.removeprefix(f"{file}:") for line in caught.value.lines]


def read(tmp_path: Path, text: str) -> Public:
    file = tmp_path / "page.yml"
    file.write_text(text)
    return load(file)


def test_a_whole_file_says_what_is_public_and_under_which_names(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert found.title == "Example status"
    shop, api = found.groups
    assert (shop.id, sorted(shop.show)) == ("shop", ["response", "vantages"])
    assert shop.match is not None
    assert shop.match.fits("x", {"team": "shop"})
    assert [(entry.target, entry.name, entry.id) for entry in api.entries] == [
        ("api-eu", "API, Europe", "api-europe"),
        ("api-us", "API, America", "us"),
    ]


def test_the_command_counts_and_the_example_that_we_ship_has_no_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = ROOT / "files" / "page.example.yml"
    assert main(["page", "check", str(example)]) == 0
    assert capsys.readouterr().out == f"{example}: 2 groups, 2 targets by name, no fault\n"
    (tmp_path / "page.yml").write_text("title: x\n")
    assert main(["page", "check", str(tmp_path / "page.yml")]) == 2
    assert "groups is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["1: right would be a mapping with `title` and `groups`"]),
        ("- x\n", ["1: right would be a mapping with `title` and `groups`"]),
        (
            "title: x\n",
            ["1: the page: groups is missing; right would be a list of mappings with name, and match or targets"],
        ),
        (
            "title: 7\ngroups: []\ntitel: x\n",
            [
                "1: the page: title is 7; right would be a text, in quotes",
                "2: the page: groups is []; right would be a list of mappings with name, and match or targets",
                "3: the page: titel is not known; right would be title",
            ],
        ),
        (
            "title: x\ngroups:\n  - name: A\n  - {name: B, match: {}}\n  - 3\n",
            [
                "3: group 'A' has no target; right would be match or targets",
                "4: group 'B': match says nothing; right would be names or labels",
                "5: group 3 is 3; right would be one of a list of mappings with name, and match or targets",
            ],
        ),
        (
            "title: x\ngroups:\n  - name: A\n    targets:\n      - {target: a, as: 'Ä b'}\n"
            "      - {target: b, as: A-B}\n      - {target: a}\n  - {name: a, match: {names: ['*']}}\n",
            [
                "6: group 'A': target 'A-B': its address /t/a-b is also that of line 5; right would be an `id` of its "
                "own for one of them",
                "7: group 'A': target 'a' is here twice, first on line 5; right would be one of them",
                "8: group 'a': its address /g/a is also that of line 3; right would be an `id` of its own for one of "
                "them",
            ],
        ),
        (
            "title: x\ngroups:\n  - name: A\n    show: [response, urls]\n    targets:\n"
            "      - {target: 'https://a.example/'}\n      - {target: b, id: B}\n      - {targt: c}\n",
            [
                "4: group 'A': show is 'urls'; right would be a list of response, vantages, certificate, url, address, "
                "error",
                "7: group 'A': targets.1.id is 'B'; right would be 1 to 60 small letters, digits and single dashes "
                "between them",
                "8: group 'A': targets.2.target is missing; right would be the name of a target",
                "8: group 'A': targets.2.targt is not known; right would be target",
            ],
        ),
        (
            "title: x\ngroups:\n  - name: A\n    targets: [{target: 'https://a.example/'}]\n",
            [
                "4: group 'A': target 'https://a.example/' is called by its URL, which would be public; right would be "
                "`as` with another name, or `url` in show"
            ],
        ),
    ],
)
def test_every_fault_is_told_with_its_line_and_what_would_be_right(tmp_path: Path, text: str, told: list[str]) -> None:
    assert faults(tmp_path, text) == told


def test_the_examples_of_the_page_have_no_fault(tmp_path: Path) -> None:
    examples = re.findall(r"```yaml\n(title:.*?)```", (ROOT / "docs" / "page.md").read_text(), re.DOTALL)
    groups = [[group.name for group in read(tmp_path, example).groups] for example in examples]
    assert ["Shop", "API"] in groups


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file or directory; right would be a readable file of what is public"):
        load(tmp_path / "none.yml")
    (tmp_path / "page.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8 at byte 0"):
        load(tmp_path / "page.yml")


def test_the_checked_in_schema_is_that_of_the_model() -> None:
    checked_in = json.loads(files("webmon").joinpath("page.schema.json").read_text())
    again = "run: python -m webmon.page.file_model > webmon/page.schema.json"
    assert checked_in == file_model.json_schema(), again


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (WHOLE, True),
        (WHOLE.replace("show:", "shows:"), False),
        (WHOLE.replace("[response, vantages]", "[everything]"), False),
        (WHOLE.replace("id: us", "id: US"), False),
        ("title: x\ngroups: []\n", False),
    ],
)
def test_the_schema_takes_what_the_checker_takes(tmp_path: Path, text: str, right: bool) -> None:
    assert jsonschema.Draft202012Validator(file_model.json_schema()).is_valid(yaml.safe_load(text)) is right
    if right:
        read(tmp_path, text)
    else:
        assert faults(tmp_path, text)


def test_an_address_has_small_letters_digits_and_dashes_whatever_the_name() -> None:
    assert slug("API, Europe (2)") == "api-europe-2"
    assert slug("Überwachung") == "uberwachung"
    odd = [slug(name) for name in (*fakes.HOSTILE, fakes.LONG, fakes.WIDE, *fakes.RIGHT_TO_LEFT, *fakes.OTHERS)]
    schema = jsonschema.Draft202012Validator({"type": "string", "pattern": file_model.A_SLUG, "maxLength": 60})
    assert all(schema.is_valid(one) for one in odd)
    assert slug("магазин") != slug("東京のサーバー")
    assert schema.is_valid(told_apart(fakes.LONG))


def test_a_target_stands_where_it_is_named_else_in_the_first_group_that_fits(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        "title: x\ngroups:\n"
        "  - {name: All, match: {names: ['*']}}\n"
        "  - {name: Named, targets: [{target: one, as: First}, {target: gone}]}\n"
        "  - {name: Never, match: {names: ['t*']}}\n",
    )
    targets = [fakes.target("one"), fakes.target("two"), fakes.target("https://three.example/")]
    groups, left_out = choose(targets, file)
    assert [(group.name, [(one.name, one.id) for one in ours]) for group, ours in groups] == [
        ("All", [("two", "two")]),
        ("Named", [("First", "first")]),
        ("Never", []),
    ]
    assert left_out == [
        "gone: no result of it is stored",
        "https://three.example/: it is called by its URL, which is not shown; give it a name",
    ]


def test_two_targets_never_have_one_address(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        "title: x\ngroups:\n  - {name: A, targets: [{target: z, as: Shop}]}\n  - {name: B, match: {names: ['*']}}\n",
    )
    targets = [fakes.target(name) for name in ("shop", "SHOP", "z", "Shop!")]
    page = public(fakes.snapshot(targets), file, fakes.NOW)
    ids = [target.id for group in page.groups for target in group.targets]
    assert len(set(ids)) == len(ids) == 4
    assert ids[0] == "shop"


def test_nothing_is_public_but_what_is_named_and_shown(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        "title: x\ngroups:\n  - {name: Shop, targets: [{target: shop, as: Checkout}]}\n",
    )
    secret = fakes.episode("internal-db", detail="password of 10.0.0.7")
    shown = fakes.episode("shop", labels={"team": "red"}, ack_by="kim", ack_at=fakes.NOW, ack_note="kim is on it")
    history = fakes.snapshot().history
    assert history is not None
    history.episodes = [secret, shown, fakes.episode("shop", "certificate"), fakes.episode("shop", held="vantage")]
    history.maintenance = [
        fakes.maintenance("internal*", name="secret work"),
        fakes.maintenance("shop", begins=3600, public=False, name="quiet work"),
    ]
    history.silences = [fakes.silence(reason="we know")]
    targets = [
        fakes.target("shop", [Outcome.CONNECT_ERROR] * 3, url="https://shop.internal:8443/health"),
        fakes.target("internal-db"),
    ]
    page = public(fakes.snapshot(targets, history), file, fakes.NOW)
    text = repr(page)
    for leaked in (
        *("internal", "10.0.0.7", "192.0.2.7", "8443", "refused", "amsterdam", "kim", "red", "we know", "work"),
        *("certificate'", "mail", "connect_error", "https"),
    ):
        assert leaked not in text, leaked
    assert [incident.id for incident in page.incidents] == [shown.id]
    (target,) = page.groups[0].targets
    assert (target.responses, target.vantages, target.url, target.error) == (None, None, None, None)


def test_what_show_names_is_shown(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        "title: x\ngroups:\n  - name: Shop\n    match: {names: [shop]}\n"
        "    show: [response, vantages, certificate, url, address, error]\n",
    )
    shop = fakes.target("shop", [Outcome.CONNECT_ERROR, Outcome.UP, Outcome.UP])
    page = public(fakes.snapshot([shop], History(episodes=[fakes.episode("shop")])), file, fakes.NOW)
    (target,) = page.groups[0].targets
    assert target.url == shop.url
    assert target.addresses == ["192.0.2.7"]
    assert target.error == "connecting: Connection refused"
    assert target.vantages is not None
    assert [vantage.name for vantage in target.vantages] == list(fakes.VANTAGES)
    assert (target.responses, target.response) == (shop.responses, 0.123)
    assert page.incidents[0].seen_by == list(fakes.VANTAGES)
    assert "error" in [moment.step for moment in page.incidents[0].timeline]
