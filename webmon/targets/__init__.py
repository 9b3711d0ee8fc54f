"""What a targets file says, and a file of commands: keys, lines, secrets, and every fault of them at once.

Called by the agent, `webmon check`, `webmon targets check` and doctor. It never makes a check; it knows no Kafka and no
database.
"""
