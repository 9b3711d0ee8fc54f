"""A taken agent writes as much as it can: packed, large, ever new names, results of long ago."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kafka import KafkaProducer

from tests.attacks.positions import LONG, OPERATOR, TAKEN_AGENT
from tests.integration.stage import Program, Stage, recent
from tests.waiting import wait_until
from webmon.kafka import client


def peak(sink: Program) -> int:
    """Give the most memory that a sink had, in MB."""
    (line,) = [
        line for line in Path(f"/proc/{sink.process.pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) // 1024


@TAKEN_AGENT
def test_a_packed_bomb_costs_its_own_place_and_no_memory(stage: Stage) -> None:
    sink = stage.start_sink()
    sink.wait_for_line("storing")
    before = peak(sink)
    # The broker's bound is of what is packed: 100 MB of one byte are 100 kB.
    packed = KafkaProducer(
        **(client.producer_args(stage.kafka_settings("agent")) | {"compression_type": "gzip"}),
        max_request_size=200_000_000,
    )
    packed.send(stage.topic, key=b"key", value=b'{"target": "' + b"x" * 100_000_000 + b'"}').get(timeout=60)
    packed.close(timeout=5)
    stage.publish([recent(number) for number in range(20)])
    wait_until(lambda: stage.count() == 20, "the honest ones stored", 60)
    wait_until(lambda: stage.committed() == 21, "all passed")
    assert peak(sink) < before + 40, "MB"
    (letter,) = stage.dead_letters(1)
    assert "was not read: unpacks to more than" in dict(letter.headers)["webmon-reason"].decode()


@TAKEN_AGENT
def test_results_spread_over_the_past_make_no_chunk_a_day_of_a_year(stage: Stage) -> None:
    now = datetime.now(UTC)
    spread = [
        recent(1, target="far", time=now - timedelta(days=day), scheduled_at=now - timedelta(days=day))
        for day in range(110, 360, 5)
    ]
    stage.start_sink()
    stage.publish([*spread, recent()])
    wait_until(lambda: stage.committed() == len(spread) + 1, "all passed", 60)
    assert stage.count() == 1
    assert stage.sql("SELECT count(*) FROM {t_targets}") == [(1,)], "what brings no row brings no name"


@OPERATOR
def test_a_long_url_that_a_list_may_have_arrives(stage: Stage) -> None:
    # Noise, or the server would press it into a short one.
    url = "https://shop.example/?" + "".join(chr(0x100 + number * 7919 % 0x4F00) for number in range(3000))
    (stage.directory / "targets.txt").write_text("https://shop.example/?" + "x" * 3000 + "\n", encoding="utf-8")
    done = stage._run(["targets", "check", str(stage.directory / "targets.txt")])
    assert done.returncode == 0, done.stdout + done.stderr
    stage.start_sink()
    stage.publish([recent(1, target=url, url=url)])
    wait_until(lambda: stage.count() == 1, "it is stored")
    assert json.loads(stage.status("--json"))[0]["target"] == url


@TAKEN_AGENT
def test_what_an_agent_writes_is_bounded_by_the_broker(stage: Stage) -> None:
    lines = stage.init()
    assert any("quota" in line and "User:webmon-agent" in line for line in lines), lines


@LONG
@TAKEN_AGENT
def test_ever_new_names_end_as_dead_letters_and_those_of_others_are_stored(stage: Stage) -> None:
    sink = stage.start_sink()
    # 250,000 an hour; a target is two of them at least, as the results of these share a context.
    producer = stage.producer()
    for start in range(0, 140_000, 1000):
        flood = [recent(number % 3600, target=f"n{number}", agent="taken") for number in range(start, start + 1000)]
        stage.publish(flood, producer=producer)
    stage.publish([recent(1, target="n139999", agent="taken"), recent(2, agent="honest")], producer=producer)
    wait_until(lambda: stage.committed() == 140_002, "all passed", 300)
    ((names,),) = stage.sql("SELECT count(*) FROM {t_targets}")
    assert names < 135_000
    assert stage.sql("SELECT count(*) FROM {t_view} WHERE agent = 'honest'") == [(1,)]
    assert sink.said().count("for the rest of the hour") == 1
