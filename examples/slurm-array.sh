#!/bin/bash
# A sweep as a SLURM array: sbatch examples/slurm-array.sh
#
# Change: the number of tasks, the time, and the file of the sweep. The folder --out must be one that all
# nodes see. Submit again what was cut off: finished cells are never run again.
#SBATCH --job-name=steinflow-sweep
#SBATCH --array=0-9
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=2G
#SBATCH --time=04:00:00
#SBATCH --output=sweep-%a.log
set -euo pipefail

SWEEP=${SWEEP:-examples/sweep.toml}
OUT=${OUT:-runs/sweep}
STEINFLOW=${STEINFLOW:-.venv/bin/steinflow}

# Shards count from 0. A share is chosen by a hash of each cell's name, so tasks need not talk.
"$STEINFLOW" sweep "$SWEEP" --out "$OUT" --executor process --retries 1 \
  --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
