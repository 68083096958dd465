#!/usr/bin/env bash
# Makes the bundled tiny priors: a toy world, a VAE, a base prior that knows no cameras and answers guided
# predictions in one pass, its AGP, and a colour prior that sees canonical coordinates.
#
# It takes hours on one CPU core, and less on a GPU. A stopped run continues where it was. Only when all is
# done do the results replace those in BUNDLE.
#
#     examples/tiny_prior.sh
#     DEVICE=cuda AGP_BATCH=128 GUIDED_BATCH=128 COLOR_BATCH=128 examples/tiny_prior.sh    # as those in the repository
#     BUILD=try BUNDLE=try/tiny COUNT=100 VAE_STEPS=50 BASE_STEPS=50 AGP_STEPS=50 GUIDED_STEPS=50 \
#         COLOR_STEPS=50 examples/tiny_prior.sh
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)

BUILD=${BUILD:-$repository/build/tiny-prior}  # folder for everything on the way
BUNDLE=${BUNDLE:-$repository/sdtool/tiny}     # folder for the three priors
DEVICE=${DEVICE:-auto}                        # cpu, cuda, …
COUNT=${COUNT:-8000}                          # objects in the toy world
UNSEEN=${UNSEEN:-60}                          # objects of the combinations that it leaves out
VAE_STEPS=${VAE_STEPS:-3500}                  # training steps of the VAE
BASE_STEPS=${BASE_STEPS:-8000}                # training steps of the base prior
AGP_STEPS=${AGP_STEPS:-8000}                  # training steps of the AGP
MORE=${MORE:-5000}                            # further objects, most of which wear, carry or have something
MORE_STEPS=${MORE_STEPS:-5000}                # training steps of the AGP on them
GUIDED_STEPS=${GUIDED_STEPS:-4000}            # training steps of the base towards guidance in one pass
COLOR_STEPS=${COLOR_STEPS:-8000}              # training steps of the colour prior
AGP_BATCH=${AGP_BATCH:-32}                    # maps in a step of these
GUIDED_BATCH=${GUIDED_BATCH:-32}
COLOR_BATCH=${COLOR_BATCH:-32}
EXAM=${EXAM:-256}                             # held-out maps by which the AGP is measured; 8 at most on the way
CONFIG=${CONFIG:+$(realpath "$CONFIG")}       # TOML file with further options of each stage

mkdir -p "$BUILD" "$BUNDLE"
BUNDLE=$(cd "$BUNDLE" && pwd)
cd "$BUILD"

# A stage ends with 3 where some objects failed; the objects that went well are enough here.
stage() {
    sdtool "$@" ${CONFIG:+--config "$CONFIG"} || [ $? -eq 3 ]
}

# Two toy worlds: one to learn from, and one of what the first leaves out, for the exam.
left_out=("blue horse" "red elephant" "green chair" "cat with a hat" "purple teapot" "pink car")
objects=$(stage toyverse --out objs --count "$COUNT" --seed 1 "${left_out[@]/#/--leave-out=}")
filtered=$(stage filter-objaverse "$objects" --out filtered)
captions=$(stage caption "$filtered" --out captions)
ccm=$(stage render-ccm "$filtered" --out ccm --views 12 --size 32 --supersample 4 --distance 1.8)

unseen=$(stage toyverse --out unseen/objs --count "$UNSEEN" --seed 9 --bad-share 0 "${left_out[@]/#/--only=}")
unseen=$(stage filter-objaverse "$unseen" --out unseen/filtered)
unseen_captions=$(stage caption "$unseen" --out unseen/captions)
unseen_ccm=$(stage render-ccm "$unseen" --out unseen/ccm --views 12 --size 32 --supersample 4 --distance 1.8)

# The VAE and the base prior: pictures and normals of objects turned at random, without their cameras.
train=(--mixed-precision bf16 --device "$DEVICE")
views=$(stage render-ccm "$filtered" --out views --maps rgb,normal \
    --views 3 --size 128 --supersample 2 --distance 1.8 --random-yaw)
vae=$(stage train-vae "$views" --out vae --steps "$VAE_STEPS" "${train[@]}")
base=$(stage train-base "$views" --captions "$captions" --vae "$vae" --out plain/base \
    --steps "$BASE_STEPS" --half-resolution 0.6 --ema 0.998 "${train[@]}" --fp16)

# The AGP: canonical coordinates, with their cameras.
agp=$(stage finetune-agp "$ccm" --captions "$captions" --objects "$filtered" --base "$base" --out agp \
    --steps "$AGP_STEPS" --batch "$AGP_BATCH" --lr 0.001 --half-resolution 0.4 --logit-normal 0.7 --ema 0.998 \
    "${train[@]}" --fp16 --exam "$((EXAM < 8 ? EXAM : 8))" --sample-every 0)

# More of it: hats, armrests, flags; and captions that say so, or a robot would be one with a flag.
more=$(stage toyverse --out more/objs --count "$MORE" --seed 11 --extra-share 0.7 "${left_out[@]/#/--leave-out=}")
more=$(stage filter-objaverse "$more" --out more/filtered)
more_captions=$(stage caption "$more" --out more/captions)
more_ccm=$(stage render-ccm "$more" --out more/ccm --views 12 --size 32 --supersample 4 --distance 1.8)
agp=$(stage finetune-agp "$more_ccm" --captions "$more_captions" --no-switch --objects "$more" \
    --resume-from "$agp" --out more/agp --steps "$MORE_STEPS" --batch 32 --lr 0.0004 --decay cosine \
    --logit-normal 0.7 --ema 0.998 "${train[@]}" --fp16 \
    --exam "$EXAM" --exam-on "$unseen_ccm" --exam-captions "$unseen_captions")

# The colour prior: the coloured view that belongs to a canonical coordinate map.
pairs=$(stage render-ccm "$filtered" --out pairs --maps rgb,ccm \
    --views 3 --size 128 --supersample 2 --distance 1.8 --elevation -30 70)
color=$(stage finetune-color "$pairs" --captions "$captions" --base "$base" --out color \
    --steps "$COLOR_STEPS" --batch "$COLOR_BATCH" --half-resolution 0.667 --ema 0.997 \
    --device "$DEVICE" --fp16)

# The base learns to answer guided predictions in one pass.
base=$(stage distill-guidance "$base" "$views" --captions "$captions" --out base \
    --steps "$GUIDED_STEPS" --batch "$GUIDED_BATCH" --lr 0.001 --ema 0.998 "${train[@]}" --fp16)

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
    model_index.json sdtool.json README.md unet text_encoder tokenizer scheduler vae
bundle "$agp" "$BUNDLE/agp" agp.json README.md unet
bundle "$color" "$BUNDLE/color" color.json README.md unet
for card in "$BUNDLE"/{agp/agp,color/color}.json; do # the base stands beside them there
    sed 's|"base": "[^"]*"|"base": "../base"|' "$card" > "$card.new" && mv "$card.new" "$card"
done
echo "$BUNDLE"
du -sh "$BUNDLE"/{base,agp,color} >&2
