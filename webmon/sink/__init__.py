"""The sink: from the topic to TimescaleDB, once each."""
