"""Kafka's side: the clients, the way to the brokers and what is wrong with it, what a record says and who wrote it.

Called by agent, sink, alarm, init and doctor. It never sends or fetches a message, and knows no database.
"""
