#!/usr/bin/env bash
# How many results are consistent from every side, with and without the aligned geometric prior?
#
# Lifts eighty prompts (SweetDreamer's number) four times with the bundled tiny prior: as a surface and
# as a radiance field, with the AGP and without; one seed each, none chosen. Then evaluates them all. A
# stopped run continues where it was. Two hours or more on two CPU cores.
#
#     examples/consistency_experiment.sh
#     PROMPTS=mine.txt PRESET=tiny-cpu OUT=mine WORKERS=8 examples/consistency_experiment.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

PROMPTS=${PROMPTS:-$here/consistency_prompts.txt}  # one a line
OUT=${OUT:-consistency}                            # folder for the lifts and the report
PRESET=${PRESET:-preview}                          # of lift
WORKERS=${WORKERS:-2}                              # lifts at a time, a CPU core each
SEED=${SEED:-0}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# A stage ends with 3 where some objects failed; those are counted as not consistent.
stage() {
    sdtool "$@" || [ $? -eq 3 ]
}

for rep in dmtet nerf; do
    for agp in with without; do
        stage lift --prompts "$PROMPTS" --rep "$rep" --preset "$PRESET" --seed "$SEED" \
            --lambda-align "$([ "$agp" = with ] && echo 1 || echo 0)" \
            --workers "$WORKERS" --out "$OUT/$rep-$agp-agp" >&2
    done
done
stage evaluate "$OUT"/{dmtet,nerf}-{with,without}-agp --protocol own --prompts "$PROMPTS" --out "$OUT/report"
