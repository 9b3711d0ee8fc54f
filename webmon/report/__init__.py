"""What people ask of the store: status, uptime, incidents, slowest.

Called by the command line. It only reads, and knows no Kafka.
"""
