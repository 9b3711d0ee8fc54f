"""Alarms: what was seen becomes episodes, and what a person is to be told of them.

Called by the command line. It asks `check` for the message alone, and never touches a target.
"""
