"""An agent whose site, at an address of the internet, leads to this host: run in a network of its own, with 9.9.9.9.

`python -m tests.attacks.led_to_itself DIRECTORY` prints JSON: what the checks came to, and whether anybody was reached.
"""

import functools
import json
import sys
import urllib.request
from pathlib import Path

from tests.agent_process import AgentProcess
from tests.hostile import HostileServer, page, redirect
from tests.waiting import wait_until
from webmon.check.result import decode

PUBLIC, METRICS = "9.9.9.9", 9187


def main() -> int:
    """Have it watch sites that lead inside."""
    agent = AgentProcess(Path(sys.argv[1]))
    inside = HostileServer(page(b"an SSH banner"))
    to = [
        f"http://127.0.0.1:{METRICS}/metrics",
        f"http://localhost:{METRICS}/metrics",
        f"http://[::1]:{METRICS}/metrics",
    ]
    to += [inside.url, f"http://[::ffff:127.0.0.1]:{inside.port}/", "http://10.0.0.1/", "http://0.0.0.0:80/"]
    sites = [HostileServer(redirect(functools.partial(str, url)), address=PUBLIC) for url in to]
    for server in (inside, *sites):
        server.__enter__()
    agent.target(*(site.url for site in sites))
    agent.configure(
        MONITORING_METRICS_ADDRESS=f"127.0.0.1:{METRICS}", MONITORING_RETRY_SECS="5", MONITORING_TIMEOUT_SECS="4"
    )
    agent.start()
    try:
        wait_until(lambda: "READY=1" in agent.heard(), "it runs", 60)
        wait_until(lambda: len(agent.results()) >= len(to) and len(_results(agent)) == len(to), "all are checked", 60)
        with urllib.request.urlopen(f"http://127.0.0.1:{METRICS}/metrics", timeout=10) as response:
            told = response.read().decode()
    finally:
        agent.close()
    places = {site.url: url for site, url in zip(sites, to, strict=True)}
    print(
        json.dumps(
            {
                "results": {places[name]: result for name, result in _results(agent).items()},
                "metrics were there": "probe_success" in told,
                "asked at its own metrics": inside.connections,
            }
        )
    )
    return 0


def _results(agent: AgentProcess) -> dict[str, tuple[str, str | None]]:
    return {result.url: (result.outcome.value, result.error) for result in map(decode, agent.results())}


if __name__ == "__main__":
    sys.exit(main())
