"""Everything that knows wasmtime; imported by worker processes only.

``settings`` alone is free of wasmtime, so that a node can name the engine and the hash
of its configuration without loading it.
"""
