#!/usr/bin/env bash
# Resolves requirements.lock from pyproject.toml, with hashes and without addresses,
# and derives requirements-runtime.lock from it. Takes some minutes: the resolver
# downloads what it has not cached to read its metadata.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/pip-compile --quiet --all-extras --generate-hashes --allow-unsafe \
    --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-options \
    --no-header --output-file requirements.lock pyproject.toml

# zerostate[all] refers to the project itself, which the resolver writes down as a
# path on this machine, followed by a warning. Neither belongs in the lock.
awk '/^# (WARNING: pip install|Consider using a hashable)/ { next }
     /^zerostate.* @ file:/ { own = 1; next }
     own && /^ / { next }
     { own = 0; print }' requirements.lock > requirements.lock.new
mv requirements.lock.new requirements.lock

.venv/bin/python -m pip install --quiet --require-hashes --requirement requirements.lock
.venv/bin/python tools/derive_runtime_lock.py
