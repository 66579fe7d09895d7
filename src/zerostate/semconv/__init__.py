"""Our words: the names of every span, attribute and event that ZeroState emits.

A name enters in the change that first emits it; an end-to-end test holds the set of
emitted span names equal to `zerostate.semconv.spans.REGISTERED`.
"""
