"""`webmon check`: one check in a terminal, made as an agent makes it, shown to a person or printed as the message.

Called by the command line alone. It stores and sends nothing.
"""
