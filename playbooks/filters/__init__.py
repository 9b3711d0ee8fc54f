"""The filters of the playbooks that need more than Python itself; filter_plugins/webmon_filters.py calls them.

They run on the controller. What a host says of itself is data: it may be anything, and is only held against what the
inventory says. A line of a fault says who, what, and what would be right; none holds a secret.

    certificate, provided    what is issued to a host, and what a managed Kafka hands out
    hba                      who else may log in to a database of our own
    all others               the preflight: what is wrong, told before any host is touched
"""
