"""Pure codecs and verification of signed evidence: envelopes, receipts, channel states.

No I/O and no clock, so both halves may import it: a node to make evidence, the stack
to verify it without trusting what a span claims.
"""
