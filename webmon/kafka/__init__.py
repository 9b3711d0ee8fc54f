"""Kafka's side: clients, the way to the brokers and what is wrong with it, who we are there, what a record of the
results says and who wrote it.

Called by agent, sink, alarm, init and doctor. It never sends or fetches a message, and knows no database.
"""
