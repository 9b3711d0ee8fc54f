"""Names in the store: all derive from POSTGRES_TABLE, so that several sets can stand in one database."""

import dataclasses
from typing import Final

from psycopg2 import sql

from webmon.errors import UserError

SCHEMA_VERSION: Final = 1
"""The newest schema file (webmon/init/schema): what sink and reports need to find."""

_LONGEST_SUFFIX: Final = 15
_NAME_BYTES: Final = 63
"""Where PostgreSQL cuts a name off without a word (NAMEDATALEN - 1)."""


@dataclasses.dataclass(frozen=True)
class Tables:
    """The names of one set of tables, from the hypertable's own."""

    metrics: str

    def __post_init__(self) -> None:
        """Refuse a name from which the others could not be made.

        Raises:
            UserError: it is too long in bytes.
        """
        if len(self.metrics.encode()) > _NAME_BYTES - _LONGEST_SUFFIX:
            raise UserError(
                f"POSTGRES_TABLE is {self.metrics!r}, {len(self.metrics.encode())} bytes long; right would be at most "
                f"{_NAME_BYTES - _LONGEST_SUFFIX}, as the names of its view and its other tables are made from it"
            )

    @property
    def view(self) -> str:
        """What people select from."""
        return f"{self.metrics}_view"

    @property
    def targets(self) -> str:
        """A row for each target."""
        return f"{self.metrics}_targets"

    @property
    def agents(self) -> str:
        """A row for each vantage."""
        return f"{self.metrics}_agents"

    @property
    def errors(self) -> str:
        """The error texts, for those checks that have one."""
        return f"{self.metrics}_errors"

    @property
    def outcome(self) -> str:
        """The type of the outcome column."""
        return f"{self.metrics}_outcome"

    @property
    def migrations(self) -> str:
        """Which numbered schema files were applied."""
        return f"{self.metrics}_migrations"

    @property
    def readable(self) -> tuple[str, ...]:
        """All that holds data, view included."""
        return (self.metrics, self.view, self.targets, self.agents, self.errors, self.migrations)

    def fill(self, statement: str, *, with_values: bool = False, **parts: sql.Composable) -> sql.Composed:
        """Put names and other parts in an SQL text's places: `{metrics}`, or `{metrics_name}` for it as a string.

        `with_values` is for a statement that is executed with values: the driver looks for % in its names too then.
        """
        names = {
            "metrics": self.metrics,
            "metrics_key": f"{self.metrics}_key",
            "view": self.view,
            "targets": self.targets,
            "agents": self.agents,
            "errors": self.errors,
            "errors_key": f"{self.metrics}_errors_key",
            "outcome": self.outcome,
            "migrations": self.migrations,
        }
        if with_values:
            names = {name: value.replace("%", "%%") for name, value in names.items()}
        quoted = {name: sql.Identifier(value) for name, value in names.items()}
        # create_hypertable takes a name as text, quoted as in SQL.
        as_text = {f"{name}_name": sql.Literal('"' + value.replace('"', '""') + '"') for name, value in names.items()}
        return sql.SQL(statement).format(**quoted, **as_text, **parts)
