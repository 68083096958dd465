"""Stack the eight shaded views of several lifts into one labelled picture.

python examples/gallery.py runs/a-corgi runs/a-red-chair --out gallery.png
"""

import argparse
import json
from pathlib import Path

from PIL import Image, ImageDraw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="directories that sdtool lift wrote")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--size", type=int, default=110, help="pixels a view")
    options = parser.parse_args()
    label = 16
    sheet = Image.new(
        "RGB", (8 * options.size, len(options.runs) * (options.size + label)), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for row, run in enumerate(options.runs):
        params = json.loads((run / "stage.json").read_text())["params"]
        text = params["prompt"] + (" (without the AGP)" if params["lambda_align"] == 0 else "")
        views = Image.open(run / "views.png").convert("RGB")
        side = (views.width - 14) // 8  # eight columns, gaps of two pixels
        strip = views.crop((0, 0, views.width, side))
        strip = strip.resize((8 * options.size, options.size), Image.LANCZOS)
        top = row * (options.size + label)
        draw.text((4, top + 2), text, fill="black")
        sheet.paste(strip, (0, top + label))
    sheet.quantize(192).save(options.out, optimize=True)
    print(options.out)


if __name__ == "__main__":
    main()
