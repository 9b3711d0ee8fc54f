"""What operators do while it runs: certificates, installing again, another release and back."""

from datetime import UTC, datetime

from tests.faults.case import Run, case
from tests.faults.lab import await_

_TLS = "/etc/webmon/agent/tls"


@case(18, "certificates renewed under load; an expired one, and another in its place")
def certificates(run: Run) -> None:
    lab = run.lab
    began = datetime.now(UTC)
    before = {agent: _digest(run, agent) for agent in lab.agents}
    lab.play("playbooks/certificates.yml", "-e", "certificates_renew_all=true")
    run.expect(all(_digest(run, agent) != serial for agent, serial in before.items()), "a certificate stayed as it was")
    secs = (datetime.now(UTC) - began).total_seconds()
    await_(run.is_fresh, "fresh rows of every agent with new certificates", 60)
    run.note(f"all certificates renewed in {secs:.0f} s")
    agent = run.random.choice(lab.agents)
    _expire(run, agent)


def _expire(run: Run, agent: str) -> None:
    """Give an agent a certificate that has ended, then its own again: it says so, and goes on by itself."""
    lab = run.lab
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
