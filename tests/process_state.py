"""What a command changes in its process for good, put back: a test that calls one in-process leaves nothing behind."""

import contextlib
import gc
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Put back, at the end: log handlers and levels, signals, the garbage collector, environment and directory."""
    root = logging.getLogger()
    handlers, levels = list(root.handlers), {logger.name: logger.level for logger in _loggers()}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    threshold = gc.get_threshold()
    environment, directory = dict(os.environ), Path.cwd()
    try:
        yield
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        for logger in _loggers():
            logger.setLevel(levels.get(logger.name, logging.NOTSET))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        gc.set_threshold(*threshold)
        gc.unfreeze()
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)
        os.chdir(directory)


def _loggers() -> list[logging.Logger]:
    root = logging.getLogger()
    return [root, *(logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger))]
