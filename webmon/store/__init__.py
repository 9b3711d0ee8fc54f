"""All that knows the tables: connections, names, schema and migrations, rolling up, and the session that only reads.

Called by sink, init, reports and doctor. It knows no Kafka and makes no check.
"""
