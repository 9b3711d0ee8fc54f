"""What tests of alarms share: a notice."""

from datetime import UTC, datetime

import pytest

from webmon.alarm.notice import Notice, Seen


@pytest.fixture
def notice() -> Notice:
    return Notice(
        key="0d8c7f6e-3f5b-5f0e-9d5e-2f3c8f6a1b2c",
        episode="b54adc00-67f9-5f3e-8a0e-7b6f5a4d3c2b",
        event="opened",
        condition="down",
        severity="critical",
        target="shop",
        url="https://shop.example.org/health",
        labels={"team": "shop", "tier": "gold"},
        since=datetime(2026, 11, 28, 14, 0, 3, tzinfo=UTC),
        seen=(
            Seen("helsinki", "timeout", "not done within 4 s: waiting for the first byte"),
            Seen("oslo", "timeout", "not done within 4 s: waiting for the first byte"),
            Seen("riga", "connect_error", "connecting: Connection refused"),
        ),
        failing=3,
        vantages=3,
        before="up for 3 d 4 h",
        link="https://webmon.example.org/alarms/b54adc00",
        acknowledge="webmon alarms ack b54adc00 --by NAME",
    )
