# Sourced by the other scripts: makes .venv in the project's root and installs rmspace in it, once.
# EXTRAS, "" or "[dev]", names what to install beside the library; a later call installs only what changed.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

find_python() {
  for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      echo "$name"
      return
    fi
  done
  echo "rmspace needs Python 3.11 or newer; set PYTHON to one, say PYTHON=/usr/local/bin/python3.12" >&2
  return 1
}

if [ ! -x .venv/bin/python ]; then
  python="$(find_python)" || exit 1
  "$python" -m venv .venv || { echo "making .venv failed; on Debian: apt install python3-venv" >&2; exit 1; }
fi

wanted="$(cat pyproject.toml scripts/constraints.txt | cksum) ${EXTRAS:-}"
stamp=".venv/installed${EXTRAS:-}"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  echo "installing rmspace${EXTRAS:-} into .venv ..."
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --constraint scripts/constraints.txt --editable ".${EXTRAS:-}" || exit 1
  echo "$wanted" >"$stamp"
fi
