"""The preflight: what is wrong with an inventory and its hosts, told before any host is touched.

It runs on the controller, called by filter_plugins/preflight.py. What a host says of itself is data: it may be
anything, and is only held against what the inventory says. A line of a fault says who, what, and what would be right;
none holds a secret.
"""
