#!/usr/bin/env bash
# Score checkpoints on several processes; each picture is scored once, and the result is that of one process.
#
#   tools/dist_test.sh CONFIG CHECKPOINT NGPUS [arguments of test.py]
#
# Several machines: as for dist_train.sh.
set -euo pipefail

if [ $# -lt 3 ] || ! [[ $3 =~ ^[1-9][0-9]*$ ]]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
config=$1
checkpoint=$2
processes=$3
shift 3
COMMAND=test exec "$(dirname "$0")/dist_train.sh" "$config" "$processes" "$checkpoint" "$@"
