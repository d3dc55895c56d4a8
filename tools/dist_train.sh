#!/usr/bin/env bash
# Train on several processes: one per GPU, or on the CPU.
#
#   tools/dist_train.sh CONFIG NGPUS [arguments of train.py]
#
# Several machines: run it on each, with the same arguments and
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=host0 MASTER_PORT=29500 tools/dist_train.sh CONFIG 8 ...
# MAX_RESTARTS=3 starts all processes again after a failure, from the newest checkpoint (it implies --resume).
# SHUTDOWN_TIMEOUT: seconds torchrun leaves for saving after a signal (torchrun's own: 30).
python=$(command -v "${PYTHON:-python}" || command -v python3) # outside an environment: it says what to activate
exec "$python" "$(dirname "$0")/start.py" train "$@"
