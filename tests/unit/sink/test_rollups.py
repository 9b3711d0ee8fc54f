"""The worker of a sink that keeps the rollups, without a database."""

import pytest

from tests.waiting import wait_until
from webmon.daemon import threads
from webmon.settings import Postgres
from webmon.sink.rollups import Rollups


def test_what_nobody_foresaw_ends_the_process_and_is_not_a_worker_that_is_gone_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    died: list[str] = []
    monkeypatch.setattr(threads, "end_process", died.append)
    settings = Postgres.model_validate(
        {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_USER": "webmon", "POSTGRES_PASSWORD": "x"}
    )
    rollups = Rollups(settings, pass_secs=0.01)
    monkeypatch.setattr(rollups, "_pass", lambda: 1 / 0)
    rollups.start()
    wait_until(lambda: died == ["rollups"], "the end")
