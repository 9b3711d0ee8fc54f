"""The pages for people (README, docs/ and what lies beside them): their commands, and where each of them is run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


def links(text: str) -> Iterator[str]:
    """Give what a page links to, as it is written there."""
    yield from _LINK.findall(text)


def _pages() -> Iterator[str]:
    yield "README.md"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    yield from dict.fromkeys(link for link in links(readme) if link.endswith(".md") and "://" not in link)


PAGES: Final = {name: (ROOT / name).read_text(encoding="utf-8") for name in _pages()}
"""The README and every page that it opens, by path from the top and in that order: a newcomer's way through them."""

FOR_THE_CONTROLLER: Final = (".venv/bin/", "cp ")
"""How commands begin that tests/e2e/test_readme.py runs in a newcomer's checkout, whatever they are."""

MADE_BY_MAKE_TEST: Final = {
    "make test": "it is what runs the tests",
    "make check": "its first step",
    "make browser": "a step of it",
    "make molecule": "a step of it",
    "make integration": "a step of it",
    "make e2e": "a step of it",
    "make demo": "its test lab is a demo",
    "make demo-down": "its last step",
    "make help": "tests/e2e/test_readme.py",
    "make faults": "its most telling cases, at the end",
    "make bench": "one bench: tests/e2e/test_bench.py",
    "make controller": "all of it runs in what that makes",
}
"""Commands that `make test` runs around the tests or in one, and where."""

ON_HOSTS: Final = {
    "systemctl status webmon-agent": "agent1",
    "journalctl -u webmon-agent -n 20 --no-pager": "agent1",
    "webmon check URL": "agent1",
    "systemctl reload webmon-agent": "agent1",
    "systemctl status webmon-alarm": "sink1",
    "systemctl reload webmon-alarm": "sink1",
    "runuser -u webmon-alarm -- webmon alarm test CHANNEL": "sink1",
    "runuser -u webmon-init -- webmon init": "db1",
    "runuser -u webmon-init -- webmon dead-letters list": "db1",
    "runuser -u webmon-init -- webmon retention --dry-run": "db1",
    "webmon doctor": "agent1",
    "webmon status": "sink1",
    "webmon status --json": "sink1",
    "webmon uptime": "sink1",
    "webmon uptime --since 365d --by label=team": "sink1",
    "webmon incidents": "sink1",
    "webmon incidents --since 2026-11-01 --target '*'": "sink1",
    "webmon slowest": "sink1",
    "webmon slowest --since 12h --by agent --csv": "sink1",
}
"""Commands that the pages give for a host, and one where they must work: tests/e2e/test_readme.py."""

_DIST: Final = "tests/e2e/test_dist.py::test_the_archive_makes_a_controller_and_a_release_without_network"
_DEAD_LETTERS: Final = "tests/integration/test_real_dead_letters.py"
_TYPED: Final = "tests/unit/test_everything.py::test_what_a_person_types_after_make_is_understood"
_DOCUMENTS: Final = "tests/unit/bench/test_documents.py"
_JUDGED: Final = "tests/integration/test_alarm_told.py"
IN_A_TEST: Final = {
    "make dist": _DIST,
    "tar xf webmon-NAME.tar && cd webmon-NAME": _DIST,
    "sha256sum --check --quiet SHA256SUMS": _DIST,
    "python3 controller.py": _DIST,
    "webmon check": "tests/unit/once/test_once.py::test_a_page_that_is_up_is_shown_with_its_phases",
    "webmon check --targets FILE NAME": (
        "tests/unit/once/test_once.py::test_a_target_of_a_file_is_checked_as_the_file_says"
    ),
    **dict.fromkeys(
        ("python3 -m venv try", "try/bin/pip install .", "try/bin/webmon watch https://www.example.org/"),
        "tests/e2e/test_readme.py::test_a_fresh_venv_and_one_command_are_enough_to_watch_something",
    ),
    "webmon watch": "tests/unit/watch/test_watch.py::test_a_mistake_is_told_with_what_would_be_right",
    "webmon watch FILE": (
        "tests/unit/watch/test_watch.py::test_five_hundred_targets_are_all_checked_at_once_and_go_on_by_the_schedule"
    ),
    "webmon check command:NAME": (
        "tests/unit/once/test_once.py::test_a_command_that_is_listed_is_run_and_its_answer_shown"
    ),
    **dict.fromkeys(
        ("webmon page", "webmon doctor page"),
        "tests/integration/test_real_page.py::"
        "test_it_runs_shows_what_is_public_anew_after_a_reload_and_the_doctor_finds_it_well",
    ),
    "webmon page password NAME": (
        "tests/unit/page/test_access.py::test_the_command_prints_a_line_that_lets_the_operator_in"
    ),
    "webmon page check FILE": (
        "tests/unit/page/test_page_file.py::test_the_command_counts_and_the_example_that_we_ship_has_no_fault"
    ),
    "webmon settings check FILE": (
        "tests/unit/test_settings.py::test_the_command_ends_with_2_and_a_line_for_each_fault"
    ),
    "webmon alarm check FILE": "tests/unit/alarm/test_rules.py::test_alarm_check_says_what_there_is_or_every_fault",
    "webmon alarm test CHANNEL": (
        "tests/unit/alarm/test_trial.py::test_without_rules_one_line_of_settings_is_enough_to_send"
    ),
    **dict.fromkeys(
        ("webmon alarms --all", "webmon alarms --all --since 30d"),
        "tests/integration/test_real_alarms_list.py::test_all_has_what_is_over_of_the_last_week_or_since_a_time",
    ),
    **dict.fromkeys(
        ("webmon revoke User:webmon-alarm", "webmon revoke User:webmon-page"),
        "tests/integration/test_real_init.py::"
        "test_judge_and_page_may_do_their_part_on_kafka_and_no_other_and_both_can_be_revoked",
    ),
    "webmon alarm replay --since 30d --file FILE": (
        "tests/integration/test_real_alarm_replay.py::test_the_answer_stands_beside_what_was_told"
    ),
    "webmon alarm": f"{_JUDGED}::test_a_site_that_fails_is_told_and_its_ending_too_and_history_has_both",
    "webmon alarms": (
        "tests/integration/test_real_alarms_list.py::"
        "test_open_ones_come_with_who_was_told_and_who_has_them_in_hand_and_nothing_steers_a_terminal"
    ),
    "webmon alarms ack ID": f"{_JUDGED}::test_what_people_order_is_taken_and_what_is_no_order_stops_nothing",
    "webmon alarms silence MATCH --for 2h --reason TEXT": (
        f"{_JUDGED}::test_what_people_order_is_taken_and_what_is_no_order_stops_nothing"
    ),
    "webmon alarms maintenance MATCH --for 2h": (
        f"{_JUDGED}::test_what_people_order_is_taken_and_what_is_no_order_stops_nothing"
    ),
    "webmon alarms announce TITLE": f"{_JUDGED}::test_what_people_order_is_taken_and_what_is_no_order_stops_nothing",
    "webmon alarms end ID": f"{_JUDGED}::test_what_people_order_is_taken_and_what_is_no_order_stops_nothing",
    "webmon alarms resend ID": f"{_JUDGED}::test_what_people_order_is_taken_and_what_is_no_order_stops_nothing",
    "webmon init": "tests/integration/test_real_init.py::test_a_second_run_finds_everything_unchanged_line_by_line",
    "webmon revoke PRINCIPAL": (
        "tests/integration/test_real_agents.py::"
        "test_a_revoked_principal_writes_no_more_the_others_do_and_a_right_that_comes_ends_the_wait"
    ),
    **dict.fromkeys(
        (
            "webmon reread",
            "runuser -u webmon-init -- webmon reread",
            "runuser -u webmon-init -- webmon reread --since 1h",
        ),
        "tests/integration/test_real_reread.py::test_what_a_restored_database_lacks_is_read_again_and_stored_once",
    ),
    "webmon retention": (
        "tests/integration/test_real_retention.py::test_what_is_older_than_its_age_goes_and_a_dry_run_only_tells"
    ),
    "webmon dead-letters list": f"{_DEAD_LETTERS}::test_letters_are_listed_and_shown_without_harm_to_a_terminal",
    "webmon dead-letters show ID": f"{_DEAD_LETTERS}::test_letters_are_listed_and_shown_without_harm_to_a_terminal",
    "webmon dead-letters redrive --all": (
        f"{_DEAD_LETTERS}::test_letters_that_are_sent_back_are_stored_once_each_however_often"
    ),
    "webmon dead-letters redrive --id ID": (
        f"{_DEAD_LETTERS}::test_a_letter_that_fails_again_is_a_new_letter_with_the_same_message"
    ),
    "make mutations": "tests/unit/test_mutations.py::test_a_fault_that_its_tests_find_is_killed",
    "make demo TARGETS=FILE": "tests/e2e/test_readme.py::test_a_users_own_list_is_watched_beside_the_demo",
    "make bench FULL=1": _TYPED,
    "make fuzz": "tests/unit/test_fuzz.py::test_a_short_run_finds_nothing",
    "make fuzz-store": "tests/integration/test_fuzz_store.py::test_a_short_run_finds_nothing_and_comes_through_all",
    "make attacks": _TYPED,
    "make recovery": _TYPED,
    "make bench BENCH=NAME": "tests/e2e/test_bench.py::test_a_bench_prints_its_table_and_keeps_it_where_it_is_started",
    "make bench BENCH=NAME FULL=1": _TYPED,
}
"""Other commands, and the test that runs each, or what it calls."""

_CODE: Final = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_PROGRAMS: Final = re.compile(r"(?:make|\.venv/bin/\S+|systemctl|journalctl|runuser|webmon|cp) .+")
_NAMED: Final = re.compile(r"make bench BENCH=[a-z]+\b")


def commands() -> list[str]:
    """Give the commands that the pages show: lines of their sh blocks, and code in tables and text that runs.

    What stands behind # is left out, and the name of a bench is NAME. The changelog names what once was, so it is none.
    """
    found: list[str] = []
    for page in (text for name, text in PAGES.items() if name != "CHANGELOG.md"):
        found += [line for block in _CODE.findall(page) for line in block.splitlines()]
        inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL))
        found += [code for code in inline if _PROGRAMS.fullmatch(code)]
    lines = (re.sub(r"\s+# .*|^#.*", "", line).strip() for line in found)
    return list(dict.fromkeys(_NAMED.sub("make bench BENCH=NAME", line) for line in lines if line))


def block(page: str, language: str) -> str:
    """Give the first code block of a language on a page.

    Raises:
        LookupError: the page has none.
    """
    found = re.search(rf"```{language}\n(.*?)```", PAGES[page], re.DOTALL)
    if not found:
        message = f"{page} has no block of {language}"
        raise LookupError(message)
    return found[1]


def missing_tests(text: str) -> list[str]:
    """Give the tests that a text names as file::test and that are not there."""

    def is_there(file: str, name: str) -> bool:
        path = ROOT / file
        return path.is_file() and f"def {name}(" in path.read_text(encoding="utf-8")

    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", text)
    return [f"{file}::{name}" for file, name in named if not is_there(file, name)]
