"""Senders: each takes a notice to one kind of receiver and says what became of it.

Called by `webmon alarm`. None of them tries again by itself, waits longer than its deadline, or keeps a notice.
"""
