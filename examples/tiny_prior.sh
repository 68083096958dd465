#!/usr/bin/env bash
# Makes the bundled tiny prior: a toy world, a base prior that knows no cameras, and its AGP.
#
# It takes hours on two CPU cores and minutes on a GPU. A stopped run continues where it was. Only
# when both priors are done do they replace those in sdtool/tiny/.
#
#     examples/tiny_prior.sh [BUILD_DIRECTORY]
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$repository/build/tiny-prior}
mkdir -p "$build"
cd "$build"

# A stage ends with 3 where some objects failed; the objects that went well are enough here.
stage() {
    sdtool "$@" || [ $? -eq 3 ]
}

objects=$(stage toyverse --out objs --count 2400 --seed 0)
filtered=$(stage filter-objaverse "$objects" --out filtered)
captions=$(stage caption "$filtered" --out captions)

# The base prior: pictures and normals of objects turned at random, without their cameras.
views=$(stage render-ccm "$filtered" --out views \
    --views 8 --size 32 --distance 1.8 --maps rgb,normal --random-yaw --seed 1)
base=$(stage train-base "$views" --captions "$captions" --out base \
    --steps 4500 --grow 0.5 --ema 0.998 --mixed-precision bf16 --half --seed 0)

# The AGP: canonical coordinates, with their cameras.
ccm=$(stage render-ccm "$filtered" --out ccm --views 12 --size 32 --distance 1.8)
agp=$(stage finetune-agp "$ccm" --captions "$captions" --base "$base" --out agp \
    --steps 2500 --ema 0.998 --mixed-precision bf16 --half --seed 0)

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
tiny=$repository/sdtool/tiny
bundle "$base" "$tiny/base" \
    model_index.json sdtool.json README.md unet text_encoder tokenizer scheduler
bundle "$agp" "$tiny/agp" agp.json README.md unet
du -sh "$tiny"
