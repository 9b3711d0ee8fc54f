"""A process of a component: the signals that it hears, and what it leaves behind when it dies."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.agent_process import AgentProcess
from tests.waiting import wait_until

START = """
import os, signal, sys, threading, time
from webmon.daemon import threads
from webmon.daemon.signals import Signals
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who runs the tests may ignore it (nohup)
"""


def run(code: str) -> "subprocess.CompletedProcess[str]":
    """Run a program that begins as a component does."""
    return subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=False, timeout=30)


def test_a_stop_and_a_hangup_are_heard_by_who_waits() -> None:
    ran = run(
        "signals = Signals(hears_hangup=True)\n"
        "for number in signal.SIGHUP, signal.SIGINT, signal.SIGTERM:\n"
        "    os.kill(os.getpid(), number)\n"
        "    print(signals.wait(10) == number, signals.stop.is_set())\n"
        "print(signals.wait(0.01))\n"
    )
    assert ran.stdout.splitlines() == ["True False", "True True", "True True", "None"]
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_hangup_ends_who_reads_nothing_anew() -> None:
    assert run("Signals(); os.kill(os.getpid(), signal.SIGHUP); time.sleep(10)").returncode == -signal.SIGHUP


def test_a_stop_that_the_main_thread_does_not_see_can_end_it_by_force() -> None:
    ran = run("Signals(at_stop=lambda: os._exit(7)); os.kill(os.getpid(), signal.SIGTERM); time.sleep(10)")
    assert ran.returncode == 7


def test_a_dead_thread_ends_the_process_in_good_order_with_the_reason() -> None:
    ran = run(
        "signals = Signals()\n"
        "threads.Thread('publisher', lambda: 1 / 0).start()\n"
        "signals.wait(10)\n"
        "print('stopped in good order')\n"
        "sys.exit(threads.exit_status())\n"
    )
    assert ran.returncode == 1
    assert ran.stdout == "stopped in good order\n"
    assert ran.stderr.startswith("the thread publisher died of what nobody foresaw, so the process ends, for systemd")
    assert ran.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_process_that_does_not_stop_after_a_thread_died_is_ended_by_force_and_shows_where_it_was() -> None:
    ran = run(
        "def hangs(): time.sleep(20)\n"
        "threads._STOP_SECS = 0.1\n"
        "Signals(); threads.Thread('publisher', lambda: 1 / 0).start(); hangs()\n"
    )
    assert ran.returncode == 1
    assert "in hangs\n" in ran.stderr


def test_a_crash_leaves_the_stacks() -> None:
    ran = run("Signals(); os.kill(os.getpid(), signal.SIGSEGV)")
    assert ran.returncode == -signal.SIGSEGV
    assert ran.stderr.startswith("Fatal Python error: Segmentation fault")


def test_a_kill_by_the_watchdog_leaves_the_stack_of_every_thread_however_many_there_are() -> None:
    ran = run(
        "def waits(): time.sleep(20)\n"
        "def hangs(): os.kill(os.getpid(), signal.SIGABRT); time.sleep(20)\n"
        "Signals()\n"
        "for _ in range(150): threads.Thread('check', waits).start()\n"
        "threads.Thread('publisher', lambda: waits()).start()\n"
        "hangs()\n"
    )
    assert ran.returncode == -signal.SIGABRT
    heads = [line for line in ran.stderr.splitlines() if not line.startswith(" ")]
    assert heads[0] == "SIGABRT: what every thread is doing (most recent call last)"
    assert sorted(heads[1:]) == ["150 x check:", "MainThread:", "publisher:", "signals:"]
    assert "in hangs\n" in ran.stderr
    assert "Fatal Python error" not in ran.stderr


def test_an_agent_that_the_watchdog_kills_tells_what_its_parts_were_doing(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path)
    agent.configure()
    agent.target("http://127.0.0.1:1/")
    try:
        agent.start()
        wait_until(lambda: "READY=1" in agent.heard(), "READY")
        agent.send(signal.SIGABRT)
        assert agent.wait(20) == -signal.SIGABRT
    finally:
        agent.close()
    told = agent.log.read_text()
    for part in ("MainThread:\n", "checks:\n", "outbox:\n", "publisher:\n"):
        assert part in told
