"""The agent's way from a due target to its outbox, as fast as one thread goes: `python -m tests.bench.agent_loop`.

Reads how many checks to make, a number a line, and answers each line when they are made. The .env of the workspace
says what is checked; nothing is published and no schedule runs.
"""

import sys
from pathlib import Path

from webmon import settings
from webmon.agent.run import Agent
from webmon.check.probe import utc_now
from webmon.check.result import Outcome
from webmon.targets import file as targets_file


def main(env_file: Path) -> None:
    """Make checks until the input ends."""
    read = settings.load(settings.AgentSettings, env_file)
    (target,) = targets_file.load(
        read.monitoring.targets_path,
        interval=read.monitoring.retry_secs,
        timeout=read.monitoring.timeout_secs,
        regex=read.monitoring.targets_regex,
        secrets={},
    )
    agent = Agent(read, (target,))
    for line in sys.stdin:
        for _ in range(int(line)):
            agent._rounds.judge(target, agent._rounds.probe.check(target, utc_now()))
        last = agent._metrics._last.get(target.name)
        assert last is None or last.outcome is Outcome.UP, last
        print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
