#!/usr/bin/env bash
# The whole way of the data in a few minutes on a CPU: a toy collection is filtered, captioned and
# rendered; the bundled base prior becomes an AGP; a line of text becomes a shape and a GLB file.
#
# The defaults show the way, not the destination: 300 steps make a young AGP and a lump of a shape. The
# bundled one had 8,000 steps on 24 times the objects.
#
# Each stage prints the path of what it made, and the next stage begins from that path. All stages
# write below OUT; the same command continues a stopped run.
#
#     OUT=demo PROMPT="a chair" STEPS=500 examples/end_to_end.sh
set -euo pipefail

OUT=${OUT:-demo}           # folder for everything
PROMPT=${PROMPT:-a corgi}  # what to make
COUNT=${COUNT:-300}        # objects in the collection
VIEWS=${VIEWS:-8}          # views of each object
STEPS=${STEPS:-300}        # training steps of the AGP
EXAM=${EXAM:-32}           # held-out maps in the AGP's test
BASE=${BASE:-tiny}         # base prior: a folder, or tiny
AGP=${AGP:-}               # AGP to lift with; empty: the one that is trained here
PRESET=${PRESET:-tiny-cpu} # how thoroughly to lift: tiny-cpu or preview
CONFIG=${CONFIG:-}         # TOML file with further options of each stage

# A stage ends with 3 where some objects failed; the objects that went well are enough here.
stage() {
    sdtool "$@" ${CONFIG:+--config "$CONFIG"} || [ $? -eq 3 ]
}

objects=$(stage toyverse --out "$OUT/objects" --count "$COUNT")
filtered=$(stage filter-objaverse "$objects" --out "$OUT/filtered")
captions=$(stage caption "$filtered" --out "$OUT/captions")

# Size and camera distance are those of the tiny prior.
ccm=$(stage render-ccm "$filtered" --out "$OUT/ccm" --views "$VIEWS" --size 32 --distance 1.8)
agp=$(stage finetune-agp "$ccm" --captions "$captions" --base "$BASE" --steps "$STEPS" --exam "$EXAM" \
    --sample-prompt "$PROMPT" --out "$OUT/agp")

shape=$(stage lift "$PROMPT" --rep dmtet --agp "${AGP:-$agp}" --preset "$PRESET" --out "$OUT/shape")
stage export "$shape" --out "$OUT/model.glb"
