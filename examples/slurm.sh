#!/bin/bash
# Falcon2-11B on 128 nodes of 8 GPUs: sbatch examples/slurm.sh falcon2-11b TOKENS RUN
#SBATCH --job-name=falconmix
#SBATCH --nodes=128
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
# Ten minutes before the time is up Slurm sends SIGTERM: the step is finished and a checkpoint written; queue the job again,
# and the run goes on from it.
#SBATCH --signal=TERM@600
set -euo pipefail

recipe=${1:?recipe} tokens=${2:?token folder} run=${3:?run folder} # on a file system that all nodes share
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")

# One torchrun a node; ranks of one node are neighbours, as tensor parallelism wants them.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=300 # of seconds, to finish the step in
export PET_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 # are passed on to the training
exec srun torchrun --nnodes="$SLURM_NNODES" --nproc-per-node=8 \
    --rdzv-backend=c10d --rdzv-endpoint="${nodes[0]}:29500" --rdzv-id="$SLURM_JOB_ID" \
    -m falconmix.cli train "$recipe" --tokens "$tokens" --output "$run"
