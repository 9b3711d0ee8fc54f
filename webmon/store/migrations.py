"""Numbered schema files, applied once each and in order; what was applied is kept with its checksum."""

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import Final

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.errors import UserError
from webmon.store.names import Tables

_FILE_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclasses.dataclass(frozen=True)
class Migration:
    """One schema file."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Of the file as it is shipped, before names are filled in."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def shipped() -> list[Migration]:
    """Give the schema files of this release, in order."""
    found = []
    for file in resources.files("webmon.store").joinpath("schema").iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), file.name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


_CREATE: Final = (
    "CREATE TABLE IF NOT EXISTS {migrations} (version integer PRIMARY KEY, name text NOT NULL,"
    " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
)
_LOCK: Final = "LOCK TABLE ONLY {migrations} IN SHARE ROW EXCLUSIVE MODE"
"""It needs a right that sinks and readers do not have."""


def lock(cursor: Cursor, tables: Tables) -> None:
    """Keep all others from applying schema files until the cursor's transaction ends.

    Raises:
        psycopg2.Error: another makes the table of the files at this moment, so try again; or a statement was refused.
    """
    cursor.execute(tables.fill(_CREATE))
    cursor.execute(tables.fill(_LOCK))


def apply(cursor: Cursor, tables: Tables, migrations: Sequence[Migration]) -> list[Migration]:
    """Apply what is missing, in the cursor's transaction, and give it. The caller holds a lock and commits.

    Raises:
        UserError: the database has a newer schema, or one made of other files.
        psycopg2.Error: a statement was refused.
    """
    cursor.execute(tables.fill(_CREATE))
    cursor.execute(tables.fill("SELECT version, name, checksum FROM {migrations} ORDER BY version"))
    applied = {version: (name, checksum) for version, name, checksum in cursor.fetchall()}
    newest = max((migration.version for migration in migrations), default=0)
    if applied and max(applied) > newest:
        raise UserError(
            f"the database's schema of {tables.metrics} is at version {max(applied)}, newer than this webmon, which "
            f"knows {newest}; right would be the webmon that made it, or a newer one"
        )
    missing = []
    for migration in migrations:
        if migration.version not in applied:
            missing.append(migration)
        elif applied[migration.version] != (migration.name, migration.checksum):
            raise UserError(
                f"schema file {migration.name} is not the {applied[migration.version][0]} that was applied to "
                f"{tables.metrics}: the checksums differ; right would be a file left as it was released"
            )
    for migration in missing:
        cursor.execute(tables.fill(migration.text))
        cursor.execute(
            tables.fill("INSERT INTO {migrations} (version, name, checksum) VALUES (%s, %s, %s)", with_values=True),
            (migration.version, migration.name, migration.checksum),
        )
    return missing
