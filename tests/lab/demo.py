"""The demo: boot the lab's hosts, install everything with the production playbook, wait for live results.

Run by `make demo` (and by `make test` for the test lab; LAB_NAME says which). What is done already is not done again.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.lab.steps import BIN, LAB_PROGRAM, LAB_ROOT, TOP, Job, StepError, Steps, environment, say, stop_on_sigterm

INVENTORY: Final = Path("inventory/lab")
DEMO_TARGETS: Final = TOP / "tests" / "lab" / "targets.yml"
RESULTS_WITHIN_SECS: Final = 120
ALARM_WITHIN_SECS: Final = 60
RECAP_LINE: Final = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def lab_hosts(inventory: Mapping[str, Any]) -> list[str]:
    """Give the hosts of the lab's inventory as `lab up` wants them: NAME=LAST_NUMBER:BASE."""
    hosts = inventory["all"]["children"]["lab"]["hosts"]
    return [f"{name}={at['ansible_host'].rsplit('.', 1)[-1]}:{at['lab_base']}" for name, at in hosts.items()]


def vantages(inventory: Mapping[str, Any]) -> list[str]:
    """Give the hosts that run an agent."""
    return list(inventory["all"]["children"]["agents"]["hosts"])


def with_users_targets(demo: str, path: Path) -> str:
    """Give the text of a targets file that holds the demo's list and then the user's, with the user's own defaults.

    `path` is a file that `webmon targets check` accepts: YAML by its suffix, else a URL a line.
    """
    if path.suffix in {".yml", ".yaml"}:
        content = yaml.safe_load(path.read_text())
        defaults, given = content.get("defaults") or {}, content["targets"]
    else:
        lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in path.read_text().splitlines()]
        defaults, given = {}, [line for line in lines if line]
    # The demo's defaults are for its own sites; three vantages need not be as eager with anybody else's.
    defaults = {"interval": 30, "timeout": 15} | defaults
    targets = [_laid_over(defaults, {"url": target} if isinstance(target, str) else target) for target in given]
    own = yaml.safe_dump(targets, sort_keys=False, allow_unicode=True, width=1000)
    return demo.rstrip("\n") + f"\n  # From {path}:\n" + "".join(f"  {line}\n" for line in own.splitlines())


def _laid_over(defaults: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a target's keys over the defaults, one level into mappings, as webmon itself does."""
    both = {key for key in defaults.keys() & target.keys() if isinstance(defaults[key], dict)}
    return {**defaults, **target, **{key: {**defaults[key], **(target[key] or {})} for key in both}}


def recap(output: str) -> dict[str, tuple[int, int, int]]:
    """Read Ansible's recap: host -> changed, unreachable, failed."""
    return {
        host: (int(changed), int(unreachable), int(failed))
        for host, changed, unreachable, failed in RECAP_LINE.findall(output)
    }


def waited_for(status: Sequence[Mapping[str, Any]], targets: Sequence[str], agents: Sequence[str]) -> list[str]:
    """Give the "target from agent" pairs that have no stored result yet, by the answer of `webmon status --json`."""
    seen = {(target["target"], vantage["agent"]) for target in status for vantage in target["vantages"]}
    return [f"{target} from {agent}" for target in targets for agent in agents if (target, agent) not in seen]


def target_names(text: str) -> list[str]:
    """Give the names of the targets in a targets file: one without a name is called by its URL."""
    targets = yaml.safe_load(text)["targets"]
    return [target if isinstance(target, str) else target.get("name") or target["url"] for target in targets]


def playbook(path: str) -> list[str]:
    """Give the command that runs a playbook on the lab."""
    return [str(BIN / "ansible-playbook"), "-i", str(INVENTORY), path]


def check_targets(path: Path) -> bool:
    """Say what is wrong with a targets file; tell whether nothing is."""
    done = subprocess.run([BIN / "webmon", "targets", "check", path], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        say(done.stderr.rstrip())
    return done.returncode == 0


def on(host: str, command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command on a host; people ask for the status on sink1."""
    return subprocess.run(
        [LAB_PROGRAM, "ssh", host, command],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        stdin=subprocess.DEVNULL,
    )


def make_sites_authority(directory: Path, web: str) -> None:
    """Make what the agents are to trust, once: site.yml refuses to begin where a file is missing that it will need."""
    program = TOP / "tests/lab/sites/certificates.py"
    command: list[str | Path] = [BIN / "python", program, directory, web]
    subprocess.run(command, check=True, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def wait_for_results(steps: Steps, targets: Sequence[str], agents: Sequence[str]) -> None:
    """Return when each agent has a stored result of each target; StepError when that takes too long."""
    deadline = time.monotonic() + RESULTS_WITHIN_SECS
    with steps.step("Wait until every vantage has stored a result of every target"):
        while True:
            done = on("sink1", "webmon status --json")
            missing = ["the first answer"]
            if done.returncode == 0:
                missing = waited_for(json.loads(done.stdout), targets, agents)
            if not missing:
                return
            if time.monotonic() > deadline:
                say(f"FAILED: after {RESULTS_WITHIN_SECS} s still waiting for {len(missing)}, among them: {missing[0]}")
                say(done.stderr.rstrip())
                say("Look into: tests/lab/lab ssh agent1 journalctl -u webmon-agent, or sink1's webmon-sink")
                raise StepError
            time.sleep(1)


def first_message(received: str) -> str | None:
    """Give the text of the first alarm that tells that something is down, of what the receiver has printed; None: none.

    `received` has a message of the webhook a line, as JSON.
    """
    messages = (json.loads(line) for line in received.splitlines() if line.startswith("{"))
    return next((message["text"].rstrip() for message in messages if message["event"] == "opened"), None)


def wait_for_a_message(steps: Steps) -> str:
    """Return the first alarm when it was received; StepError when that takes too long."""
    deadline = time.monotonic() + ALARM_WITHIN_SECS
    with steps.step("Wait until an alarm was received"):
        while True:
            received = on("web1", "journalctl --unit=demo-sites --output=cat --no-pager")
            if message := first_message(received.stdout):
                return message
            if time.monotonic() > deadline:
                say(f"FAILED: none within {ALARM_WITHIN_SECS} s")
                say(received.stderr.rstrip())
                say("Look into: tests/lab/lab ssh sink1 journalctl -u webmon-alarm, or db1's")
                raise StepError
            time.sleep(1)


def demo(steps: Steps, users_targets: Path | None, *, unchanged: bool) -> None:
    """Do the whole demo; StepError where a step fails, after saying so."""
    inventory = yaml.safe_load((TOP / INVENTORY / "hosts.yml").read_text())
    lab = LAB_ROOT / "labs" / steps.name
    steps.run(
        f"Boot {', '.join(inventory['all']['children']['lab']['hosts'])} (systemd-nspawn, each with its own systemd)",
        Job("boot", [LAB_PROGRAM, "up", *lab_hosts(inventory)]),
    )
    list_of_targets = lab / "targets.yml"
    if users_targets or not list_of_targets.exists():
        text = DEMO_TARGETS.read_text()
        list_of_targets.write_text(with_users_targets(text, users_targets) if users_targets else text)
    if not check_targets(list_of_targets):
        raise StepError
    make_sites_authority(lab / "sites", next(iter(inventory["all"]["children"]["web"]["hosts"])))
    output, _ = steps.run(
        "Install it all, as in production: ansible-playbook -i inventory/lab playbooks/site.yml; and the sites on web1",
        Job("site", playbook("playbooks/site.yml")),
        Job("sites", playbook("tests/lab/sites.yml")),
    )
    say("PLAY RECAP" + output.rpartition("PLAY RECAP")[2].rstrip())
    if unchanged and (touched := sorted(host for host, counts in recap(output).items() if any(counts))):
        say(f"FAILED: a second run changed {', '.join(touched)}; the log: {steps.logs / 'site.log'}")
        raise StepError
    if "playbooks/upgrade.yml" in output:
        # The hosts were there, with what this checkout was then.
        steps.total += 1
        steps.run("Bring this release, host by host", Job("upgrade", playbook("playbooks/upgrade.yml")))
    wait_for_results(steps, target_names(list_of_targets.read_text()), vantages(inventory))
    message = wait_for_a_message(steps)
    say("\n" + on("sink1", "webmon status").stdout.rstrip())
    say(f"\nThe first alarm, as web1 received it by webhook:\n\n{message}\n\n$ webmon alarms")
    say(on("sink1", "webmon alarms").stdout.rstrip())
    address = next(line.split()[0] for line in (lab / "hosts").read_text().splitlines() if line.split()[1] == "sink1")
    say(f"\nThe page: https://{address}/, of an authority of the lab's own")
    say(f"Operators: https://{address}:8443/, as operator with the password in {lab}/secrets/operator")


NEXT: Final = """
It runs. Three things to try next:
  tests/lab/lab ssh sink1 webmon status    look into a host; without a command it is a shell
  $EDITOR {targets} && make demo    change what is watched
  make demo-down    stop it, and remove all of it from this machine
To production: the same playbook with an inventory of your own; docs/production.md has the five steps.
"""


def main() -> int:
    """Run the demo; 0 when results are there, 1 where a step failed, 2 for a targets file with faults."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--targets", type=Path, metavar="FILE", help="watch this list as well")
    parser.add_argument("--started", type=float, default=time.time(), help="when it all began, in seconds of the epoch")
    parser.add_argument("--unchanged", action="store_true", help="fail where the playbook changes anything")
    options = parser.parse_args()
    name = os.environ.get("LAB_NAME", "demo")
    if options.targets and not check_targets(options.targets):
        return 2
    stop_on_sigterm()
    steps = Steps(name, 4)
    try:
        demo(steps, options.targets, unchanged=options.unchanged)
    except StepError:
        return 1
    except KeyboardInterrupt:
        say("\nstopped; `make demo` goes on from here, `make demo-down` removes it")
        return 130
    say(f"\n{time.time() - options.started:.0f} s in all")
    if name == "demo":
        say(NEXT.format(targets=LAB_ROOT / "labs" / name / "targets.yml"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
