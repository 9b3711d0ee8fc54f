"""`webmon init` and `webmon retention`: topics, tables, roles and rights, once per environment; and what is old goes.

Called by the command line. It reads and writes no result.
"""
