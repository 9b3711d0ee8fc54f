"""That a test which runs a command in this process leaves the process as it was."""

import gc
import logging
import os
import signal
from pathlib import Path

from tests import process_state
from webmon.daemon import log


def test_what_a_command_changes_in_its_process_is_put_back(tmp_path: Path) -> None:
    root, kafka, quiet = (logging.getLogger(name) for name in ("", "kafka", "quiet.one"))
    quiet.setLevel(logging.ERROR)

    def state() -> tuple[object, ...]:
        levels = root.level, kafka.level, quiet.level, logging.getLogger("new.one").level
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        collector = gc.get_threshold(), gc.get_freeze_count()
        return list(root.handlers), levels, mask, collector, dict(os.environ), Path.cwd()

    before = state()
    with process_state.kept():
        log.configure("ERROR")
        quiet.setLevel(logging.NOTSET)
        logging.getLogger("new.one").setLevel(logging.CRITICAL)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        gc.freeze()
        gc.set_threshold(50_000)
        os.environ["WEBMON_TEST"] = "1"
        os.chdir(tmp_path)
        assert all(now != then for now, then in zip(state(), before, strict=True))
    assert state() == before
