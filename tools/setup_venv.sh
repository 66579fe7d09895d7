#!/usr/bin/env bash
# Builds .venv from a lock file and installs this repository into it, editable.
#   tools/setup_venv.sh runtime    what `make demo` needs
#   tools/setup_venv.sh full       that, and the tools of `make test` and `make lint`
# Called by the Makefile, which skips it while the stamp files are up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

kind="${1:?runtime or full}"
case "$kind" in
    runtime) lock=requirements-runtime.lock ;;
    full) lock=requirements.lock ;;
    *) echo "tools/setup_venv.sh: runtime or full, not '$kind'" >&2; exit 2 ;;
esac

python="$(tools/check_prerequisites.sh)"
started_s=$SECONDS

if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    echo "==> .venv with $("$python" --version) ($python)"
    "$python" -m venv --clear .venv
fi

pip=(.venv/bin/python -m pip --disable-pip-version-check)
echo "==> installing $(grep -c '==' "$lock") locked packages from $lock (one or two minutes the first time)"
"${pip[@]}" install --require-hashes --requirement "$lock" |
    # One line a package instead of a screenful; pip's own errors go to stderr.
    sed -u -n -e 's/^Collecting \([^ ]*\).*/    \1/p' -e '/^Building/p'
"${pip[@]}" install --quiet --no-deps --no-build-isolation --editable .

touch .venv/.installed-runtime
if [[ "$kind" == full ]]; then
    touch .venv/.installed
fi
echo "==> ready after $((SECONDS - started_s)) s"
