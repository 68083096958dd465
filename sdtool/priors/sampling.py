"""Draw images from a prior, and lay them out as a contact sheet."""

from pathlib import Path

import torch
import torch.nn.functional as F

from sdtool.io.files import atomic_path
from sdtool.io.images import draw_label
from sdtool.priors.prior import Prior


@torch.no_grad()
def ddim(
    prior: Prior,
    text: torch.Tensor,
    empty: torch.Tensor,
    *,
    generator: torch.Generator,
    c2w: torch.Tensor | None = None,
    ccm: torch.Tensor | None = None,
    steps: int = 30,
    scale: float = 5.0,
    batch: int = 16,
) -> torch.Tensor:
    """Deterministic DDIM sampling (Song et al. 2021, eq. 12) with classifier-free guidance.

    text: (N, L, C), one image for each. empty: (1, L, C), the unconditional prompt. c2w: (N, 4, 4)
    for an AGP; ccm: (N, 4, h, w) for a colour prior. generator: a CPU generator, which
    draws the initial noise. Returns clean samples (N, channels, h, w) float32; pixels and maps are kept
    inside [-1, 1] at every step.
    """
    size = prior.sample_size
    noise = torch.randn(len(text), prior.channels, size, size, generator=generator)
    noise = noise.to(prior.device)
    last = len(prior.alphas_cumprod) - 1
    times = torch.linspace(last, 0, steps + 1, device=prior.device).round().long()[:-1]
    done = []
    for part in range(0, len(text), batch):
        x, cameras = noise[part : part + batch], None
        seen: dict[str, torch.Tensor] = {}
        n = len(x)
        both = torch.cat([empty.expand(n, -1, -1), text[part : part + batch]])
        if c2w is not None:
            cameras = c2w[part : part + batch].repeat(2, 1, 1)
        if ccm is not None:
            seen = {"ccm": ccm[part : part + batch].repeat(2, 1, 1, 1)}
        for k, time in enumerate(times):
            t = time.expand(2 * n)
            guess = prior.predict_noise(x.repeat(2, 1, 1, 1), t, both, cameras, **seen)
            without, with_ = guess.chunk(2)
            eps = without + scale * (with_ - without)
            a = prior.alphas_cumprod[time]
            clean = (x - (1 - a).sqrt() * eps) / a.sqrt()
            if not prior.is_latent:
                clean = clean.clamp(-1, 1)
                eps = (x - a.sqrt() * clean) / (1 - a).sqrt()
            if k + 1 < len(times):
                a = prior.alphas_cumprod[times[k + 1]]
                x = a.sqrt() * clean + (1 - a).sqrt() * eps
        done.append(clean)
    return torch.cat(done)


def for_display(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """Pictures (N, 3, H, W) in [0, 1] at side × side pixels: bicubic, averaged where they are larger."""
    mode = "bicubic" if pictures.shape[-1] < side else "area"
    align = {"align_corners": False} if mode == "bicubic" else {}
    return F.interpolate(pictures.float(), size=(side, side), mode=mode, **align).clamp(0, 1)


def contact_sheet(
    path: Path, rows: list[tuple[str, torch.Tensor]], *, side: int = 96, text: dict | None = None
) -> None:
    """Write labelled rows of pictures as one PNG.

    rows: (label, (K, 3, H, W) in [0, 1]). side: pixels per picture. text: PNG text chunks.
    """
    from PIL import Image, ImageDraw
    from PIL.PngImagePlugin import PngInfo

    label, columns = 14, max(len(pictures) for _, pictures in rows)
    sheet = Image.new("RGB", (columns * side, len(rows) * (side + label)), "white")
    draw = ImageDraw.Draw(sheet)
    for j, (caption, pictures) in enumerate(rows):
        top = j * (side + label)
        draw_label(draw, (2, top + 1), caption)
        pixels = (
            (for_display(pictures.cpu(), side) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        )
        for i, picture in enumerate(pixels):
            sheet.paste(Image.fromarray(picture), (i * side, top + label))
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, str(value))
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG", pnginfo=chunks)
