"""The agent: a schedule, workers that check, an outbox on disk, a publisher to Kafka; and whether this vantage is well.

Called by `webmon agent` and `webmon drain`. It knows no database.
"""
