"""Kafka's side: the clients' arguments, the way to the brokers and what is wrong with it, our own certificate.

Called by agent, sink, init and doctor. It never reads or writes a message, and knows no database.
"""
