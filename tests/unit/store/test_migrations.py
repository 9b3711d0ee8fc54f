"""The schema files that are shipped."""

import re

from webmon.check.result import Outcome
from webmon.store.migrations import shipped
from webmon.store.names import Tables
from webmon.store.version import SCHEMA_VERSION


def test_versions_count_up_from_one_and_the_sink_expects_the_newest() -> None:
    assert [migration.version for migration in shipped()] == list(range(1, SCHEMA_VERSION + 1))


def test_the_checksum_is_of_the_file_as_it_is_shipped() -> None:
    first = shipped()[0]
    assert first.name == "0001_results.sql"
    assert re.fullmatch(r"[0-9a-f]{64}", first.checksum)


def test_every_outcome_has_a_place_in_the_database() -> None:
    text = "".join(migration.text for migration in shipped())
    listed = re.search(r"AS ENUM \(([^)]*)\)", text)
    assert listed
    assert re.findall(r"'(\w+)'", listed[1]) == [outcome.value for outcome in Outcome]


def test_every_placeholder_of_the_files_has_a_name() -> None:
    for migration in shipped():
        Tables("any").fill(migration.text)
