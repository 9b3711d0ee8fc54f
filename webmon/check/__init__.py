"""What one check is: the target, the way to it, the verdict, and the result that goes to the topic.

Called by agent and `webmon check`; the sink and the reports share `result` alone. It knows no Kafka, no database, and
no clock but the one it is given.
"""
