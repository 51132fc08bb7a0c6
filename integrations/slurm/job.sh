#!/bin/sh
# Downloads one shard of a list as one task of a job array:
#
#   sbatch --array=0-15 job.sh LIST FOLDER
#
#SBATCH --requeue
#SBATCH --open-mode=append
srun downhaul -i "$1" -d "$2" --shard auto --if-locked wait --log none --progress plain
status=$?
# 75: a signal stopped the task before the end. The task is queued again, and continues.
if [ "$status" = 75 ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$status"
