#!/usr/bin/env bash
# Makes the bundled tiny prior: a toy world, a base prior that knows no cameras, and its AGP.
#
# It takes hours on two CPU cores and minutes on a GPU. A stopped run continues where it was. Only
# when both priors are done do they replace those in BUNDLE.
#
#     examples/tiny_prior.sh
#     BUILD=try BUNDLE=try/tiny COUNT=100 BASE_STEPS=50 AGP_STEPS=50 examples/tiny_prior.sh   # quick
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)

BUILD=${BUILD:-$repository/build/tiny-prior}  # folder for everything on the way
BUNDLE=${BUNDLE:-$repository/sdtool/tiny}     # folder for the two priors
COUNT=${COUNT:-2400}                          # objects in the toy world
BASE_STEPS=${BASE_STEPS:-4000}                # training steps of the base prior
AGP_STEPS=${AGP_STEPS:-3000}                  # training steps of the AGP

mkdir -p "$BUILD" "$BUNDLE"
BUNDLE=$(cd "$BUNDLE" && pwd)
cd "$BUILD"

# A stage ends with 3 where some objects failed; the objects that went well are enough here.
stage() {
    sdtool "$@" || [ $? -eq 3 ]
}

objects=$(stage toyverse --out objs --count "$COUNT" --seed 0)
filtered=$(stage filter-objaverse "$objects" --out filtered)
captions=$(stage caption "$filtered" --out captions)

# The base prior: pictures and normals of objects turned at random, without their cameras.
views=$(stage render-ccm "$filtered" --out views \
    --views 8 --size 32 --distance 1.8 --maps rgb,normal --random-yaw --seed 1)
base=$(stage train-base "$views" --captions "$captions" --out base \
    --steps "$BASE_STEPS" --grow 0.5 --ema 0.998 --mixed-precision bf16 --half --seed 0)

# The AGP: canonical coordinates, with their cameras.
ccm=$(stage render-ccm "$filtered" --out ccm --views 12 --size 32 --distance 1.8)
agp=$(stage finetune-agp "$ccm" --captions "$captions" --base "$base" --out agp \
    --steps "$AGP_STEPS" --lr 0.001 --grow 0.4 --ema 0.998 --mixed-precision bf16 --half --seed 0)

bundle() { # FROM TO PART…: replace the folder TO by the named parts of FROM
    local from=$1 to=$2
    shift 2
    rm -rf "$to"
    mkdir -p "$to"
    for part in "$@"; do
        cp -r "$from/$part" "$to/"
    done
    chmod -R u=rwX,go=rX "$to"
}
bundle "$base" "$BUNDLE/base" \
    model_index.json sdtool.json README.md unet text_encoder tokenizer scheduler
bundle "$agp" "$BUNDLE/agp" agp.json README.md unet
echo "$BUNDLE"
du -sh "$BUNDLE"/{base,agp} >&2
