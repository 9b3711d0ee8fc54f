"""What operators do while it runs: certificates, installing again, another release and back."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.case import Run, case
from tests.faults.lab import await_
from tests.lab.demo import recap
from tests.lab.release import changed_release

_TLS = "/etc/webmon/agent/tls"


@case(18, "certificates renewed under load; an expired one, and another in its place")
def certificates(run: Run) -> None:
    lab = run.lab
    before = {agent: _digest(run, agent) for agent in lab.agents}
    _timed(run, "playbooks/certificates.yml", "-e", "certificates_renew_all=true")
    run.expect(all(_digest(run, agent) != serial for agent, serial in before.items()), "a certificate stayed as it was")
    await_(run.is_fresh, "fresh rows of every agent with new certificates", 60)
    agent = run.random.choice(lab.agents)
    _expire(run, agent)


def _expire(run: Run, agent: str) -> None:
    """Give an agent a certificate that has ended, then its own again: it says so, and goes on by itself."""
    lab = run.lab
    run.at_fault = {agent: False}
    certificate, key = lab.services.issue(lab.product.directory, "agent", days=-1)
    files = {f"{_TLS}/cert.pem": certificate, f"{_TLS}/key.pem": key}
    lab.on(agent, f"cp -a {_TLS} {_TLS}.kept")
    began = datetime.now(UTC)
    try:
        for path, ours in files.items():
            lab.on(agent, f"cat > {path}", ours.read_text(encoding="utf-8"))
        # A connection that stands needs no new handshake.
        lab.on(agent, "systemctl restart webmon-agent")
        await_(lambda: "expired" in lab.journal(agent, "webmon-agent", began), f"{agent} saying 'expired'", 60)
        said = next(line for line in lab.journal(agent, "webmon-agent", began).splitlines() if "expired" in line)
        run.note(f"{agent} said: {said}")
        run.sleep(run.secs(60, least=5))
        run.expect(lab.waiting(agent, run.prefix) > 0, "no result waits while the certificate is expired")
        run.expect(lab.is_active(agent, "webmon-agent"), "the agent is down while its certificate is expired")
    finally:
        lab.on(agent, f"cp -a {_TLS}.kept/. {_TLS}/ && rm -rf {_TLS}.kept")


def _digest(run: Run, agent: str) -> str:
    return run.lab.on(agent, f"sha256sum {_TLS}/cert.pem")


@case(20, "site.yml again, another release by upgrade.yml, and back by rollback.yml")
def releases(run: Run) -> None:
    # The one slot of a target that falls into the restart of its agent, which takes two seconds.
    run.gap_may_be = run.interval
    changed = {host for host, counts in recap(_timed(run, "playbooks/site.yml")).items() if counts[0]}
    run.expect(not changed, f"site.yml changed what it had installed itself, on {', '.join(sorted(changed))}")
    before = _version(run)
    with tempfile.TemporaryDirectory(prefix="webmon-faults-release-") as directory:
        # A name of its own for each run: what is installed already would change nothing.
        version = f'f"webmon {{__version__}}+{run.began:%H%M%S}"'
        better = changed_release(Path(directory), "cli/__init__.py", ('f"webmon {__version__}"', version))
        _timed(run, "playbooks/upgrade.yml", *better)
    run.expect(all(now != then for now, then in zip(_version(run), before, strict=True)), "a host kept its release")
    await_(run.is_fresh, "fresh rows of every agent with the other release", 60)
    _timed(run, "playbooks/rollback.yml")
    run.expect(_version(run) == before, "a host did not come back to its release")


def _timed(run: Run, playbook: str, *arguments: str) -> str:
    """Run a playbook; give what it printed, note how long it took."""
    began = datetime.now(UTC)
    printed = run.lab.play(playbook, *arguments)
    run.note(f"{playbook}: {(datetime.now(UTC) - began).total_seconds():.0f} s")
    return printed


def _version(run: Run) -> list[str]:
    """Give what the agents and sinks call themselves."""
    return [run.lab.on(host, "webmon --version") for host in (*run.lab.agents, *run.lab.sinks)]
