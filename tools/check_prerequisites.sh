#!/usr/bin/env bash
# Checks what setup needs and cannot install itself, and prints, on stdout, the
# Python to build the environment with. Whatever is missing is named on stderr
# together with the one line that installs it. Override the choice: PYTHON=...
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

if [[ "$(uname -s)" != Linux ]]; then
    say "ZeroState's peers and tracing stack run on Linux; this is $(uname -s)."
    say "The telemetry library alone runs here too: python3 -m pip install ."
    exit 1
fi

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    # 3.11 first: requirements.lock was resolved with it.
    for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13}; do
        if command -v "$candidate" >/dev/null && is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
}

python="$(find_python)"
missing=()
packages=()

if [[ -z "$python" ]]; then
    missing+=("Python 3.11 or newer${PYTHON:+ (PYTHON=$PYTHON is not)}")
    packages+=(python3 python3-dev python3-venv)
else
    version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    name="python$version"
    # A distribution's own python3 has its headers under the unversioned name.
    if [[ "$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" == "$version" ]]; then
        name=python3
    fi
    include="$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')"
    if [[ ! -f "$include/Python.h" ]]; then
        missing+=("Python's headers ($include/Python.h)")
        packages+=("$name-dev")
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        missing+=("Python's venv module")
        packages+=("$name-venv")
    fi
fi

if ! command -v gcc >/dev/null; then
    missing+=("gcc")
    packages+=(gcc)
fi
if ! command -v make >/dev/null; then
    missing+=("make")
    packages+=(make)
fi
if command -v gcc >/dev/null; then
    has_gmp() { gcc -E -include gmp.h -x c /dev/null >/dev/null 2>&1; }
else
    has_gmp() { compgen -G '/usr/include/gmp.h' >/dev/null || compgen -G '/usr/include/*/gmp.h' >/dev/null; }
fi
if ! has_gmp; then
    missing+=("gmp.h")
    packages+=(libgmp-dev)
fi

if ((${#missing[@]})); then
    say "Missing, before anything can be installed here:"
    printf '  - %s\n' "${missing[@]}" >&2
    if command -v apt-get >/dev/null; then
        say "Install with:"
        say "  sudo apt-get install ${packages[*]}"
    else
        say "Install the packages that your distribution has for these (Debian's names): ${packages[*]}"
    fi
    exit 1
fi

printf '%s\n' "$python"
