"""The page: what people look at, a public face for visitors and an operator's with everything.

Called by the command line. A view asks the database nothing: one thread reads a snapshot every few seconds, and what is
shown is made from that. It never touches a target, and acts only by orders to the judge.
"""
