"""What a sink tells Prometheus, with a real broker and a real database behind it."""

import http.client
import re
import socket

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.proxy import relay
from tests.integration.stage import Stage, recent
from tests.sockets import free_port
from tests.waiting import wait_until


def get(port: int, path: str) -> tuple[int, str]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("GET", path)
    response = client.getresponse()
    answer = response.status, response.read().decode()
    client.close()
    return answer


def scrape(port: int) -> dict[str, float]:
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(get(port, "/metrics")[1])
        for sample in family.samples
    }


def test_a_sink_tells_what_it_did_how_far_behind_it_is_and_what_it_waits_for(stage: Stage) -> None:
    port = free_port()
    with relay(stage.services.postgres_host, stage.services.postgres_port) as way:
        sink = stage.start_sink(
            POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=str(way.port), POSTGRES_SSL="verify-ca",
            SINK_METRICS_ADDRESS=f"127.0.0.1:{port}", SINK_BATCH_SIZE="10",
        )  # fmt: skip
        sink.wait_for_line("storing")
        producer = stage.producer()
        stage.publish([*(recent(number) for number in range(20)), recent(3), b"junk"], producer=producer)
        wait_until(lambda: stage.committed() == 22, "all stored")
        assert get(port, "/healthz") == (200, "ok\n")
        seen = scrape(port)
        done = {name: seen[f"webmon_sink_{name}_total"] for name in ("rows", "repeats", "dead_letters")}
        assert done == {"rows": 20, "repeats": 1, "dead_letters": 1}
        assert seen["webmon_sink_partitions"] == 3
        assert {seen.get(f"webmon_sink_lag {partition}", 0) for partition in range(3)} == {0}
        assert seen["webmon_sink_batch_messages_sum"] == 22
        assert seen["webmon_sink_batch_seconds_count"] == seen["webmon_sink_batch_messages_count"] > 2
        assert seen["webmon_sink_freshness_seconds_count"] == 21
        assert seen["webmon_sink_turn_age_seconds"] < 5
        assert seen["webmon_sink_waits_total database"] == 0
        way.refuse()
        stage.publish([recent(number) for number in range(20, 70)], producer=producer)
        sink.wait_for_line("waiting for the database")
        # The first cause is the session that ended; the present one is what a person can do something about.
        refused = re.compile(r"ok\nwaiting for the database: PostgreSQL at 127\.0\.0\.1:.*connection refused.*\n")
        wait_until(lambda: refused.fullmatch(get(port, "/healthz")[1]) is not None, "the present cause")
        assert get(port, "/healthz")[0] == 200
        seen = scrape(port)
        assert (seen["webmon_sink_waiting database"], seen["webmon_sink_waits_total database"]) == (1, 1)
        assert (seen["webmon_sink_waiting kafka"], seen["webmon_sink_waits_total kafka"]) == (0, 0)
        wait_until(lambda: scrape(port)["webmon_sink_wait_seconds_total database"] > 1, "the wait measured")
        assert sum(value for name, value in scrape(port).items() if name.startswith("webmon_sink_lag ")) > 0
        way.open()
        wait_until(lambda: scrape(port)["webmon_sink_rows_total"] == 70, "all stored after the outage")
        wait_until(lambda: get(port, "/healthz") == (200, "ok\n"), "nothing waited for")


def test_an_address_that_is_taken_stops_no_sink(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sink = stage.start_sink(SINK_METRICS_ADDRESS=f"127.0.0.1:{port}")
        stage.publish([recent()])
        wait_until(lambda: stage.count() == 1, "stored all the same")
    assert f"no metrics: SINK_METRICS_ADDRESS is 127.0.0.1:{port}: Address already in use" in sink.said()
