"""The sink: batches from the topic into TimescaleDB, once each; what cannot be stored becomes a dead letter.

Called by `webmon sink` and `webmon dead-letters`. It creates no table and no topic: init does.
"""
