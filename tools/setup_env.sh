# Sourced by quickstart.sh and run_tests.sh: makes .venv (Python 3.11 or newer), installs the package with the tested
# versions and activates it. `source tools/setup_env.sh [extra]`. A second run finds the stamp and only activates.
extra="${1:-}"
python="${PYTHON:-python3}"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "srtoolbox needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Set PYTHON to a newer one." >&2
    exit 1
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
stamp=".venv/.installed$extra-$(cat setup.py tools/constraints.txt | cksum | cut -d' ' -f1)"
if [ ! -e "$stamp" ]; then
    echo "== installing srtoolbox and what it needs into .venv (a few minutes the first time)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c tools/constraints.txt torch
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c tools/constraints.txt -e ".${extra:+[$extra]}"
    touch "$stamp"
fi
source .venv/bin/activate
