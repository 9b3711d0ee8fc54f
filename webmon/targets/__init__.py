"""What a targets file says: its keys, its lines, its secrets, and every fault of it at once.

Called by the agent, `webmon check`, `webmon targets check` and doctor. It never makes a check; it knows no Kafka and no
database.
"""
