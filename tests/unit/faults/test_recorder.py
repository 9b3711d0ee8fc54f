import io
import sqlite3
from pathlib import Path

from tests.faults.recorder import Recorder, dump, waiting
from tests.integration.stage import recent
from tests.waiting import wait_until
from webmon.agent.outbox import Outbox
from webmon.check.result import encode


def test_it_records_what_an_outbox_took_also_when_the_file_is_replaced(tmp_path: Path) -> None:
    path, ledger = tmp_path / "outbox.sqlite", tmp_path / "ledger"
    recorder = Recorder(path, ledger)
    made = [recent(number) for number in range(6)]
    for part in (made[:3], made[3:]):
        outbox = Outbox(path, 10_000_000)
        recorder.step()
        for result in part:
            outbox.put(result.target.encode(), encode(result))
        wait_until(lambda outbox=outbox: len(outbox.read(0, 9)) == 3, "committed")  # type: ignore[misc]
        assert waiting(path, "site") == 3
        outbox.remove([row.id for row in outbox.read(0, 9)])
        wait_until(lambda outbox=outbox: len(outbox) == 0, "sent")  # type: ignore[misc]
        recorder.step()
        outbox.close(5)
        for file in tmp_path.glob("outbox.sqlite*"):
            file.unlink()
    recorder.close()
    told = [line.split("\t")[1] for line in ledger.read_text().splitlines()]
    assert told == [result.target for result in made]


def test_a_dump_has_what_is_not_in_the_ledger_yet(tmp_path: Path) -> None:
    path, ledger = tmp_path / "outbox.sqlite", tmp_path / "ledger"
    outbox = Outbox(path, 10_000_000)
    recorder = Recorder(path, ledger)
    recorder.step()
    recorder.close()
    outbox.put(b"site", encode(recent(1)))
    outbox.close(5)
    out = io.StringIO()
    dump(path, ledger, out)
    assert out.getvalue().count("\tup\n") == 1
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM results").fetchone() == (1,)
    db.close()
