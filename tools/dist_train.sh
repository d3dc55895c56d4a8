#!/usr/bin/env bash
# Train on several processes: one per GPU, or on the CPU.
#
#   tools/dist_train.sh CONFIG NGPUS [arguments of train.py]
#
# Several machines: run it on each, with the same arguments and
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=host0 MASTER_PORT=29500 tools/dist_train.sh CONFIG 8 ...
# MAX_RESTARTS=3 starts all processes again after a failure, from the newest checkpoint.
# SHUTDOWN_TIMEOUT: seconds torchrun leaves for saving after a signal (torchrun's own: 30).
set -euo pipefail

if [ $# -lt 2 ] || ! [[ $2 =~ ^[1-9][0-9]*$ ]]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
config=$1
processes=$2
shift 2

launch=(--nproc-per-node "$processes" --max-restarts "${MAX_RESTARTS:-0}"
    --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1)
if [ -n "${SHUTDOWN_TIMEOUT:-}" ]; then
    launch+=(--shutdown-timeout "$SHUTDOWN_TIMEOUT")
fi
if [ "${NNODES:-1}" = 1 ] && [ -z "${MASTER_PORT:-}" ]; then
    launch+=(--standalone)
else
    launch+=(--nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}"
        --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${MASTER_PORT:-29500}")
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${launch[@]}" -m srtoolbox "${COMMAND:-train}" "$config" "$@"
