#!/usr/bin/env bash
# Train under SLURM; before the time limit, or when preempted, the run saves, the job is queued again and goes on.
#
#   sbatch --nodes 2 --ntasks-per-node 4 --gpus-per-node 4 tools/slurm_train.sh CONFIG [arguments of train.py]
#
# One task is one process (and one GPU). Any sbatch option may be given; these are the defaults:
#SBATCH --job-name=srtoolbox
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=USR1@120
#SBATCH --time=24:00:00
set -uo pipefail

if [ $# -lt 1 ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
if [ -z "${SLURM_JOB_ID:-}" ]; then
    echo "not under SLURM: start it with sbatch, or use tools/dist_train.sh" >&2
    exit 2
fi
if ! "${PYTHON:-python}" -c 'import importlib.util as u; raise SystemExit(u.find_spec("torch") is None)' 2>/dev/null; then
    echo "${PYTHON:-python} is not there or has no PyTorch: activate the environment srtoolbox is installed in before" \
        "sbatch (source .venv/bin/activate), or set PYTHON to its Python" >&2
    exit 2
fi
host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR=$host MASTER_PORT=${MASTER_PORT:-$((20000 + SLURM_JOB_ID % 20000))}

# A job submitted again goes on, unless told what to do; queued again, train itself goes on with what the job began.
case " $* " in
    *' --resume-from'* | *' --overwrite '*) ;;
    *) set -- "$@" --resume ;;
esac

# SLURM sends USR1 to the tasks (and, when it cancels, TERM to all): each rank saves and exits with 138 or 143.
# Only srun waits here; this shell must outlive the signal to queue the job again.
trap : USR1 TERM
srun --kill-on-bad-exit=0 bash -c '
    export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS
    exec "${PYTHON:-python}" -m srtoolbox train "$@"' train "$@"
code=$? # of srun: a trap waits for the command in the foreground, and does not end it
if [ "$code" = 138 ]; then
    echo "saved before the time limit: queueing job $SLURM_JOB_ID again"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
