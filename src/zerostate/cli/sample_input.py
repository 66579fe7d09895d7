"""The demo's input where no README of ours is at hand."""

from typing import Final

SAMPLE_TEXT: Final = """\
A person submits a task to a network of strangers' machines. Peers find each other,
form a guild, and one of them runs the task, signs a receipt and is paid.

Afterwards that person opens one page and sees the whole story as one trace: who was
asked, over which path, what ran, how long, how much it used, what was signed, what was
paid, and what went wrong where.
"""
"""Plain text, so that each example task has something to count or to hash."""
