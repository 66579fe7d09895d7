"""One peer of the network: the layers wired together, and the story of a task.

Receives commands on its control socket and messages from other peers; hands spans to
`zerostate.telemetry`.
"""
