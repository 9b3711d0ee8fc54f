"""`webmon sink`: the process around the loop, from its signals to its listener."""

import contextlib
import functools
import gc
import itertools
import logging
import os
import threading
import time
from typing import Final

from webmon.daemon import log, threads
from webmon.daemon.listener import listen
from webmon.daemon.metrics import gauge
from webmon.daemon.signals import Signals
from webmon.daemon.systemd import notify
from webmon.kafka import agents, certificate
from webmon.settings import SinkSettings
from webmon.sink import consumer
from webmon.sink.consumer import BatchConsumer
from webmon.sink.dead_letters import DeadLetters
from webmon.sink.fleet import Fleet, name_of
from webmon.sink.in_hand import InHand, directory
from webmon.sink.loop import Loop, StoppedError
from webmon.sink.rollups import Rollups
from webmon.sink.state import State
from webmon.sink.writer import STATEMENT_SECS, Writer

_log = logging.getLogger(__name__)

STOP_SECS: Final = 15.0
"""How long the batch in hand may take after SIGTERM; after that it is given back."""
_UNCOLLECTED: Final = 50_000
"""Objects that set off the garbage collector. At Python's own 700 it runs forty times a batch and finds nothing, for
three tenths of our CPU: records and results are freed when the last who knows them lets go."""
_SILENT_SECS: Final = STATEMENT_SECS + 10.0
"""A database that says nothing for so long is stopped: it would have ended the statement itself."""


def run(settings: SinkSettings) -> int:
    """Store results until SIGTERM or SIGINT.

    Raises:
        UserError: something that waiting will not mend, found at start.
    """
    log.configure(settings.common.log_level)
    path = settings.sink.agents_path
    believed = agents.read(path, "SINK_AGENTS_PATH") if path else None
    # What is loaded stays, and is not looked through again and again.
    gc.freeze()
    gc.set_threshold(_UNCOLLECTED)
    in_hand = InHand(directory())
    stop = Signals(at_stop=functools.partial(_end_by_force, in_hand)).stop
    kafka = settings.kafka
    rollups = Rollups(settings.postgres)
    ends = certificate.Expiry(kafka)
    expiry = functools.partial(
        gauge, "webmon_sink_kafka_certificate_expiry_timestamp_seconds", certificate.EXPIRY_MEANING
    )
    state = State(lambda: itertools.chain(rollups.metrics(), writer.metrics(), [expiry(certificate.as_metric(ends()))]))
    writer = Writer(settings.postgres, tick=state.tick)
    fleet = Fleet(settings.postgres, name_of(in_hand.number), state, certificate_ends=ends)
    letters = DeadLetters(kafka)
    join = functools.partial(consumer.join, kafka, lambda: BatchConsumer(kafka, settings.sink))
    loop = Loop(
        kafka,
        state,
        join=join,
        rows=writer,
        letters=letters,
        stop=stop,
        in_hand=in_hand,
        agents=believed,
        note=fleet.note,
    )
    threads.Thread("database", lambda: watch_database(writer, state, stop)).start()
    address = settings.sink.metrics_address
    listener = listen(address, "SINK_METRICS_ADDRESS", state.metrics, state.is_alive, state.waits_for)
    try:
        with contextlib.suppress(StoppedError):
            loop.start()
            _log.info("storing %s into %s, partitions %s", kafka.topic, settings.postgres.table, state.partitions)
            rollups.start()
            fleet.start()
            loop.run()
    finally:
        notify("STOPPING=1")
        if listener is not None:
            listener.close()
        loop.close()
        letters.close()
        writer.close()
        rollups.stop(timeout=2.0)
        fleet.stop(timeout=2.0)
    _log.info("stopped: %s", state.summary())
    return threads.exit_status()


def watch_database(writer: Writer, state: State, stop: threading.Event) -> None:
    """Give up the connection of a database that says nothing, so that the loop turns again; ends with the stop."""
    while not stop.wait(1.0):
        if state.still_secs() > _SILENT_SECS:
            writer.interrupt()


def _end_by_force(in_hand: InHand) -> None:
    """End a process that does not see in time that it is to stop.

    Nothing is lost by that: the server undoes the statement, and the offsets were not committed.
    """
    time.sleep(STOP_SECS)
    _log.warning("the batch in hand did not end within %.0f s; another sink will read it again", STOP_SECS)
    in_hand.lay_down()
    os._exit(threads.exit_status())
