"""The agent: schedule, workers, outbox, publisher."""
