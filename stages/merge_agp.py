"""Make one UNet of an AGP of adapters and its base.

What `finetune-agp --lora` writes holds only what differs from its base. This writes the whole, an AGP as
`finetune-agp` makes it without `--lora`: as large as the base's UNet, with no need of peft or of the
base's UNet, and a little quicker, because nothing is added up while it is asked. `distill-guidance` takes
it, too. What is lost is that a lift holds one UNet for both priors.

Examples:

    sdtool finetune-agp ccm/ --captions captions/ --base tiny --lora 16 --out agp-lora/

    sdtool merge-agp agp-lora/ --out agp-whole/
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import InputError, UsageError
from sdtool.io import stage_record
from sdtool.runtime.options import Out, Overwrite
from sdtool.training.options import Fp16


def merge_agp(
    agp: Annotated[Path, typer.Argument(help="Folder of an AGP of adapters.", metavar="AGP")],
    out: Out = Path("agp-whole"),
    fp16: Fp16 = False,
    overwrite: Overwrite = False,
) -> stage_record.Result:
    from sdtool.priors.cards import AGP_CARD, FINGERPRINT, base_of, is_adapter, stored_base

    if not is_adapter(agp):
        raise InputError(f"{agp} is a whole AGP already: it holds no adapters")
    if agp.resolve() in out.resolve().parents:
        raise UsageError(f"--out {out} lies in {agp}, which is read; choose another --out", "--out")
    base = base_of(agp)
    record = stage_record.begin(
        out,
        "merge-agp",
        params={"fp16": fp16},
        inputs={"agp": agp, "base": Path(base) if Path(base).exists() else None},
        overwrite=overwrite,
        patient=True,
    )
    if record.is_done:
        print(f"{out} is already merged; --overwrite does it again", file=sys.stderr)
        return record.result()

    from sdtool.io.files import read_json
    from sdtool.priors.agp import plain_agp
    from sdtool.priors.loading import load_agp
    from sdtool.priors.model_card import save_agp

    whole = plain_agp(load_agp(agp, with_text=False))
    record.clear()
    card = read_json(agp / AGP_CARD)
    again = ("base", "sample_size", "exams", "view_identification", FINGERPRINT, "fp16")
    facts = {key: value for key, value in card.items() if key not in again} | {"fp16": fp16}
    exams = card.get("exams", {})
    made = save_agp(whole, out, base=stored_base(base, out), facts=facts, exams=exams, fp16=fp16)
    return record.finish(counts={"ok": 1, "failed": 0}, outputs=made)
