#!/usr/bin/env bash
# Train on several processes: one per GPU, or on the CPU.
#
#   tools/dist_train.sh CONFIG NGPUS [arguments of train.py]
#
# Several machines: run it on each, with the same arguments and
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=host0 MASTER_PORT=29500 tools/dist_train.sh CONFIG 8 ...
# MAX_RESTARTS=3 starts all processes again after a failure, from the newest checkpoint (it implies --resume).
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
if [ "${MAX_RESTARTS:-0}" != 0 ] && [ "${COMMAND:-train}" = train ]; then
    case " $* " in
        *' --resume-from'* | *' --overwrite '*) ;; # train does so once: a restarted job goes on with what it began
        *) set -- "$@" --resume ;;
    esac
fi
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 # each attempt its own store, none with the addresses of the last
if [ "${NNODES:-1}" = 1 ] && [ -z "${MASTER_PORT:-}" ]; then
    launch+=(--standalone)
elif [ "${MAX_RESTARTS:-0}" != 0 ]; then # only this way the other machines learn of a restart
    launch+=(--nnodes "${NNODES:-1}" --rdzv-backend c10d --rdzv-id "${RUN_ID:-srtoolbox}"
        --rdzv-endpoint "${MASTER_ADDR:-127.0.0.1}:${MASTER_PORT:-29500}")
else
    launch+=(--nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}"
        --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${MASTER_PORT:-29500}")
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${launch[@]}" -m srtoolbox "${COMMAND:-train}" "$config" "$@"
