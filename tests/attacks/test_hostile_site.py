"""A site that is watched says whatever it likes to a real agent: it costs its own checks, and tells nobody a secret."""

import contextlib
import functools
import gzip
import json
import os
import subprocess
import sys
import zlib
from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tests.agent_process import AgentProcess
from tests.attacks.positions import HOSTILE_SITE
from tests.hostile import HostileServer, answer, page, redirect
from tests.lab.steps import TOP
from tests.waiting import wait_until
from webmon.check.result import CheckResult, Outcome, decode

BOMB = gzip.compress(bytes(64 << 20))
EMPTY_MEMBERS = zlib.compress(gzip.compress(b"") * 600_000)
COOKIES = b"".join(b"Set-Cookie: c%d=%s\r\n" % (number, b"v" * 20) for number in range(13_000))
METADATA = "169.254.169.254"


def results(agent: AgentProcess) -> dict[str, list[CheckResult]]:
    found: dict[str, list[CheckResult]] = defaultdict(list)
    for value in agent.results():
        result = decode(value)
        found[result.target].append(result)
    return found


def watch(agent: AgentProcess, *targets: Mapping[str, object], **settings: str) -> None:
    """Start the agent on some targets."""
    document = {"targets": [{"interval": "1s", "timeout": "900ms"} | dict(target) for target in targets]}
    (agent.workspace / "targets.yml").write_text(json.dumps(document))
    agent.configure(MONITORING_TARGETS_PATH="targets.yml", **settings)
    agent.start()
    wait_until(lambda: "READY=1" in agent.heard(), lambda: f"it runs: {agent.log.read_text()}", 60)


def peak(agent: AgentProcess) -> int:
    """Give the most memory that the agent had, in MB."""
    assert agent.process is not None
    (line,) = [
        line for line in Path(f"/proc/{agent.process.pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) // 1024


@HOSTILE_SITE
def test_bombs_and_floods_cost_their_own_checks_alone(agent: AgentProcess) -> None:
    with (
        HostileServer(page(BOMB, b"Content-Encoding: gzip")) as bomb,
        HostileServer(page(EMPTY_MEMBERS, b"Content-Encoding: gzip, deflate")) as empty,
        HostileServer(answer(b"HTTP/1.1 200 OK\r\n" + COOKIES + b"Content-Length: 0\r\n\r\n")) as cookies,
        HostileServer(redirect(lambda: "/again")) as loop,
        HostileServer(page(b"fine")) as fine,
    ):
        sites = {"bomb": bomb, "empty": empty, "cookies": cookies, "loop": loop, "fine": fine}
        watch(agent, *({"name": name, "url": site.url} for name, site in sites.items()))
        wait_until(lambda: len(results(agent)["fine"]) >= 4, "the healthy one is checked beside them", 60)
        found = results(agent)
        wait_until(lambda: results(agent).keys() >= sites.keys(), "each has a result", 30)
        assert {result.outcome for result in found["fine"]} == {Outcome.UP}
        assert peak(agent) < 200, "MB"


@HOSTILE_SITE
def test_no_site_leads_an_agent_to_the_metadata_of_a_cloud(agent: AgentProcess) -> None:
    with HostileServer(redirect(lambda: f"http://{METADATA}/latest/meta-data/")) as site:
        patient = {"interval": "5s", "timeout": "4s"}
        watch(
            agent, {"name": "led", "url": site.url} | patient, {"name": "named", "url": f"http://{METADATA}/"} | patient
        )
        wait_until(lambda: results(agent).keys() >= {"led", "named"}, "both are checked")
        for name, (result, *_) in results(agent).items():
            assert result.outcome is not Outcome.UP
            assert METADATA in (result.error or ""), name
            assert "169.254" in (result.error or "")
            assert "is in " in (result.error or ""), result.error


@HOSTILE_SITE
def test_what_a_site_sends_back_of_a_secret_is_in_no_result_and_no_log(agent: AgentProcess) -> None:
    secret = "s3cr3t-of-the-shop"
    forms = [secret, secret.upper(), " ".join(secret), b64encode(secret.encode()).decode()]
    echoes = [HostileServer(answer(f"HTTP/1.1 500 {form}\r\nX-Echo: {form}\r\n\r\n{form}".encode())) for form in forms]
    echoes += [HostileServer(redirect(functools.partial(str, f"ftp://host/{form}"))) for form in forms]
    with contextlib.ExitStack() as serving:
        for echo in echoes:
            serving.enter_context(echo)
        watch(
            agent,
            *(
                {"name": f"echo {number}", "url": site.url, "headers": {"X-Token": "${SHOP_TOKEN}"}}
                for number, site in enumerate(echoes)
            ),
            SHOP_TOKEN=secret,
        )
        wait_until(lambda: len(results(agent)) == len(echoes), "each has a result")
    told = b"\n".join(agent.results()).decode() + agent.log.read_text()
    for form in forms:
        assert form.lower() not in told.lower()


@HOSTILE_SITE
def test_a_public_site_does_not_lead_an_agent_to_its_own_metrics(tmp_path: Path) -> None:
    # A network of its own has an address of the internet.
    done = subprocess.run(
        [
            *([] if os.geteuid() == 0 else ["sudo", "-n"]),
            *("unshare", "--net", "sh", "-c"),
            'ip link set lo up && ip address add 9.9.9.9/32 dev lo && exec "$@"',
            *("sh", sys.executable, "-m", "tests.attacks.led_to_itself", str(tmp_path)),
        ],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["metrics were there"]
    for name, (outcome, error) in told["results"].items():
        assert outcome == "connect_error", name
        assert "is a private address" in error, error
    assert not told["asked at its own metrics"]
