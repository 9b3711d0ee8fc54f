"""`webmon doctor`: looks over the components of this host and says what is not well, and what to do.

Called by the command line and by the playbooks. It changes nothing.
"""
