"""A primary and its synchronous standby on a host of their own in the test lab, an address each; one can take over."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Final

from tests.integration.services import ROOT, Services
from tests.integration.stage import Stage

_HOST: Final = "pair1"
_LAST: Final = {"first": 45, "second": 46}
"""The last number of each server's address."""
_BIN: Final = "/usr/lib/postgresql/17/bin"
_OWNER, _PASSWORD = "webmon_owner", "owner of two"
_SETTINGS: Final = """
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
unix_socket_directories = ''
ssl = on
ssl_cert_file = '/etc/ssl/certs/ssl-cert-snakeoil.pem'
ssl_key_file = '/etc/ssl/private/ssl-cert-snakeoil.key'
shared_buffers = 32MB
max_connections = 40
"""
_ACCESS: Final = "host all,replication postgres samehost trust\nhostssl all all all scram-sha-256\n"


class TwoDatabases:
    """The first is the primary until `fail_over`."""

    def __init__(self, services: Services) -> None:
        """Take the lab's services, whose Kafka serves these databases too."""
        net = services.kafka_host.rpartition(".")[0]
        self.addresses = {name: f"{net}.{last}" for name, last in _LAST.items()}
        # The standby comes first in the list, so that whoever wants the primary has to look for it.
        self.services = dataclasses.replace(
            services,
            postgres_host=f"{self.addresses['second']},{self.addresses['first']}",
            owner=_OWNER,
            owner_password=_PASSWORD,
        )

    def start(self) -> None:
        """Boot the host and make both."""
        _lab("up", f"{_HOST}={_LAST['first']}:trixie-pg")
        device = "$(ip -o -4 route show default | awk '{print $5}')"
        self._tell(
            f"ip addr add {self.addresses['second']}/24 dev {device}; "
            "systemctl stop postgresql.service 'postgresql@*'; install -d -o postgres /pair"
        )
        self._tell(f"{_as_postgres()} {_BIN}/initdb -D /pair/first --auth-local=trust -E UTF8 --no-sync >/dev/null")
        self._tell("cat >> /pair/first/postgresql.conf", _SETTINGS)
        self._tell("cat > /pair/first/pg_hba.conf", _ACCESS)
        self._run("first")
        self.sql("first", f"CREATE ROLE {_OWNER} LOGIN CREATEROLE PASSWORD '{_PASSWORD}'")
        self.sql("first", f"CREATE DATABASE webmon OWNER {_OWNER}")
        self.sql("first", "CREATE EXTENSION timescaledb", database="webmon")
        self._tell(
            f"{_as_postgres()} {_BIN}/pg_basebackup -D /pair/second -R --checkpoint=fast --no-sync "
            f"-h {self.addresses['first']} -U postgres"
        )
        self._run("second")
        # Of the first alone: an acknowledged commit is on both.
        self.sql("first", "ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.sql("first", "SELECT pg_reload_conf()")

    def remove(self) -> None:
        """Delete the host."""
        _lab("down", _HOST)

    def kill_first(self) -> None:
        """End the primary as a power cut would."""
        self._tell("systemctl kill -s KILL pair-first")

    def promote_second(self) -> None:
        """Make the standby the primary."""
        self._tell(f"{_as_postgres()} {_BIN}/pg_ctl promote -D /pair/second >/dev/null")

    def sql(self, name: str, statement: str, *, database: str = "postgres") -> str:
        """Run a statement on one of them as its superuser; give what it printed."""
        return self._tell(
            f"psql -h {self.addresses[name]} -U postgres -d {database} -XqAt -v ON_ERROR_STOP=1", statement
        )

    def _run(self, name: str) -> None:
        self._tell(
            f"systemd-run --quiet --unit=pair-{name} -p User=postgres {_BIN}/postgres -D /pair/{name} "
            f"-c listen_addresses={self.addresses[name]} && for try in $(seq 100); do "
            f"{_BIN}/pg_isready -q -h {self.addresses[name]} && exit; sleep 0.2; done; exit 1"
        )

    def _tell(self, command: str, data: str = "") -> str:
        return _lab("ssh", _HOST, command, data=data)


def _as_postgres() -> str:
    return "runuser -u postgres --"


def _lab(*arguments: str, data: str = "") -> str:
    program = [str(ROOT / "tests/lab/lab"), *arguments]
    done = subprocess.run(program, input=data, text=True, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class PairStage(Stage):
    """A stage on the two."""

    def env_file(self, component: str, **changes: str | None) -> Path:
        """Write a component's .env; the servers' certificate is their host's own."""
        ours: dict[str, str | None] = {"POSTGRES_SSL": "require", "POSTGRES_CA_CERTIFICATE": None}
        return super().env_file(component, **(ours | changes))

    def _remove_from_database(self) -> None:
        """Leave it: the servers go as a whole."""
