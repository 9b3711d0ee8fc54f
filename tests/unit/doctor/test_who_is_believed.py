"""What an operator is told of whom a sink believes."""

from pathlib import Path

from webmon.doctor import agents

KEY = "k" * 32


def told(path: Path | None, text: str | None = None) -> list[str]:
    if path is not None and text is not None:
        path.write_text(text)
    return [str(finding) for finding in agents.examine(path, "SINK_AGENTS_PATH")]


def test_a_sink_that_believes_anybody_is_warned_of() -> None:
    assert told(None) == [
        "warning  agents: SINK_AGENTS_PATH is not set, so any agent can speak for any other; right would be a file "
        "with their keys"
    ]


def test_a_sink_that_knows_all_keys_is_well(tmp_path: Path) -> None:
    path = tmp_path / "agents"
    assert told(path, f"a {KEY}\nb {KEY} 2026-06-01T12:00:00Z\n") == [
        f"ok       agents: {path} lists 2, and takes no result that its agent did not sign"
    ]


def test_agents_without_a_key_are_named_and_a_fault_is_told(tmp_path: Path) -> None:
    path = tmp_path / "agents"
    (line,) = told(path, "".join(f"a{number} {KEY} always\n" for number in range(7)))
    assert line.startswith("warning  agents: ")
    assert "of a0, a1, a2, a3, a4 and 2 more, so" in line
    assert told(path, "a\n")[0].startswith(f"FAILED   agents: SINK_AGENTS_PATH: {path}:1: has 1 words")
