"""Our words: the names of every span, attribute, event and metric that ZeroState emits.

Written in ``registry/*.yaml``, from which the modules of constants are generated. A
name enters in the change that first emits it; an end-to-end test holds what is emitted
and what is registered equal.
"""
