"""Alarms: the rules file, what is told to whom, and the ways to a person: mail, webhook, Alertmanager, Apprise.

Called by `webmon alarm`. It never makes a check, and never asks an agent or a sink: it judges what they published.
"""
