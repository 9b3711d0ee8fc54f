"""What every long-running part shares: its log, its signals, what it tells systemd, /metrics and /healthz.

Called by agent, sink and the commands that log. It knows no Kafka, no database and no check.
"""
