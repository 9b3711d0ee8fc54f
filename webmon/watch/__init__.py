"""`webmon watch`: agent, judge and page in one process and in memory, for a terminal.

Called by the command line alone. It stores and sends nothing: what an alarm would have said is shown.
"""
