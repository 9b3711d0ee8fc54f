"""Restart the broker on this host while every partition has all its copies, and wait until that is so again.

    restart.py HOST:PORT

So the brokers of a cluster, asked one after the other, never take away more than one copy of anything. A broker that is
not running is just started: the first ones need each other. Where another Kafka is to be the next, it becomes the
current one with the restart, and once all is whole again only that and the one before stay. Ends with 1 and the reason
where it was not restarted, or where copies are still missing afterwards.
"""

import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLACE = Path("/opt/kafka")
WITHIN_SECS = 300
SILENT_SECS = 30
"""A broker that gives no answer for so long serves nobody, so its restart takes nothing away."""
TLS = "/etc/kafka/tls"
CLIENT = f"""
security.protocol=SSL
ssl.keystore.type=PEM
ssl.keystore.location={TLS}/keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location={TLS}/ca.pem
default.api.timeout.ms=10000
request.timeout.ms=5000
"""


def lacking(broker: str) -> list[str] | None:
    """Ask a broker which partitions lack a copy; None where it does not answer."""
    with tempfile.NamedTemporaryFile("w", suffix=".properties") as settings:
        settings.write(CLIENT)
        settings.flush()
        command = ["/usr/bin/java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command += ["-cp", "/opt/kafka/current/libs/*", "org.apache.kafka.tools.TopicCommand"]
        command += ["--bootstrap-server", broker, "--command-config", settings.name]
        command += ["--describe", "--under-replicated-partitions"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    return [line.strip() for line in done.stdout.splitlines() if "Partition:" in line]


def systemctl(*arguments: str) -> int:
    """Run systemctl; give its exit status."""
    return subprocess.run(["systemctl", *arguments], check=False).returncode


def wait_until_whole(broker: str, *, silent_secs: float) -> str:
    """Wait until every partition has all its copies; give what is wrong where that does not come.

    A broker that is silent for `silent_secs` ends the wait, as one that has nothing to lose.
    """
    began = answered = time.monotonic()
    while True:
        missing = lacking(broker)
        now = time.monotonic()
        if missing == []:
            return ""
        if missing is not None:
            answered = now
        elif now - answered > silent_secs:
            return ""
        if now - began > WITHIN_SECS:
            if missing is None:
                return f"{broker} does not answer"
            return f"{len(missing)} partitions lack a copy, among them: {missing[0]}"
        time.sleep(1)


def switch() -> Path | None:
    """Make the next Kafka the current one; give where the one before is, None where there is no next."""
    current, following = PLACE / "current", PLACE / "next"
    if not following.is_symlink():
        return None
    before = current.resolve()
    os.replace(following, current)  # noqa: PTH105  # at once: there is always a current one
    return before


def prune(before: Path) -> None:
    """Remove every Kafka but the current one and the one before."""
    keep = {before, (PLACE / "current").resolve()}
    # As Apache names them: what else there is was put there by somebody else.
    for path in PLACE.glob("kafka_*"):
        if path.is_dir() and not path.is_symlink() and path.resolve() not in keep:
            shutil.rmtree(path)


def main() -> int:
    """Restart it."""
    broker = sys.argv[1]
    systemctl("daemon-reload")
    if subprocess.run(["systemctl", "cat", "kafka.service"], capture_output=True, check=False).returncode != 0:
        print("there is no kafka.service yet, so nothing to restart")
        return 0
    if systemctl("is-active", "--quiet", "kafka.service") != 0:
        switch()
        return systemctl("restart", "kafka.service")
    if fault := wait_until_whole(broker, silent_secs=SILENT_SECS):
        print(f"not restarted: {fault}; a restart now could take the last copy away", file=sys.stderr)
        return 1
    before = switch()
    if systemctl("restart", "kafka.service") != 0:
        return 1
    if fault := wait_until_whole(broker, silent_secs=math.inf):
        print(f"restarted, but after {WITHIN_SECS} s {fault}", file=sys.stderr)
        return 1
    if before is not None:
        prune(before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
