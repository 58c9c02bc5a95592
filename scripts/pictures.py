"""What scripts/pictures.sh makes its pictures with."""

import struct
import sys

import numpy as np
import tifffile
from PIL import Image, ImageDraw, ImageFont

# Outlines of the mug in 01-mug-on-white.jpg, drawn by hand on 900 x 675 pixels: before, anchor and after of each knot.
DRAWN_ON = (900, 675)
OUTLINES = [
    [
        ((328, 123), (408, 123), (492, 123)),
        ((574, 130), (581, 158), (583, 172)),
        ((583, 195), (583, 211), (612, 222)),
        ((661, 300), (661, 362), (661, 420)),
        ((628, 500), (576, 500), (576, 505)),
        ((575, 512), (574, 522), (566, 561)),
        ((490, 575), (410, 575), (330, 575)),
        ((255, 553), (246, 508), (240, 430)),
        ((233, 260), (235, 160), (240, 132)),
    ],
    [
        ((582, 300), (582, 268), (606, 288)),
        ((619, 325), (619, 354), (619, 402)),
        ((611, 446), (580, 454), (582, 420)),
    ],
]


def resource(number, name, data):
    """A Photoshop image resource."""
    name = bytes([len(name)]) + name
    name += b"\0" * (len(name) % 2)
    return b"8BIM" + struct.pack(">H", number) + name + struct.pack(">I", len(data)) + data + b"\0" * (len(data) % 2)


def clipping_path():
    """The outlines as Photoshop stores them."""
    records = [struct.pack(">H24x", 6), struct.pack(">H24x", 8)]
    for outline in OUTLINES:
        records.append(struct.pack(">HH22x", 0, len(outline)))
        for knot in outline:
            numbers = [round(p[k] / DRAWN_ON[k] * (1 << 24)) for p in knot for k in (1, 0)]
            records.append(struct.pack(">H6i", 2, *numbers))
    named = bytes([3]) + b"Mug" + bytes([0, 1, 0, 0, 0, 1])
    return resource(2000, b"Mug", b"".join(records)) + resource(2999, b"", named)


def with_path(source, target):
    """Copies a JPEG, with the path in place of the image resources that it has."""
    data = open(source, "rb").read()
    out, at = [data[:2]], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
        if data[at + 1] != 0xED:
            out.append(data[at:end])
        at = end
    body = b"Photoshop 3.0\0" + clipping_path()
    segment = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    open(target, "wb").write(b"".join(out) + segment + data[at:])


def points(outline, size):
    """The outline as a polygon in pixels."""
    for i, (_, a, b) in enumerate(outline):
        c, d, _ = outline[(i + 1) % len(outline)]
        for t in np.linspace(0, 1, 40):
            s = 1 - t
            weights = (s**3, 3 * s * s * t, 3 * s * t * t, t**3)
            yield tuple(
                sum(w * p[k] for w, p in zip(weights, (a, b, c, d))) / DRAWN_ON[k] * size[k] for k in (0, 1)
            )


def row(images, titles, width):
    """Pictures side by side, each under its title."""
    title_px, gap = 30, 12
    images = [i.resize((width, round(i.height * width / i.width)), Image.Resampling.LANCZOS) for i in images]
    height = images[0].height + title_px
    sheet = Image.new("RGB", (len(images) * (width + gap) - gap, height), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (image, title) in enumerate(zip(images, titles)):
        sheet.paste(image, (i * (width + gap), title_px))
        draw.text((i * (width + gap), 4), title, fill="black", font=ImageFont.load_default(18))
    return sheet


def cutout(original, pyramid, target):
    box = (330, 150, 1270, 1080)
    before = Image.open(original).convert("RGB")
    overlay = before.copy()
    draw = ImageDraw.Draw(overlay)
    for outline in OUTLINES:
        polygon = list(points(outline, before.size))
        draw.line(polygon + polygon[:2], fill=(230, 0, 90), width=5, joint="curve")
        for _, (x, y), _ in outline:
            x, y = x / DRAWN_ON[0] * before.width, y / DRAWN_ON[1] * before.height
            draw.rectangle((x - 8, y - 8, x + 8, y + 8), fill="white", outline=(230, 0, 90), width=3)
    made = Image.fromarray(tifffile.imread(pyramid, key=0))
    down, across = np.indices((made.height, made.width)) // 40
    board = Image.fromarray(np.where((down + across) % 2, 235, 190).astype(np.uint8)).convert("RGB")
    board.paste(made, mask=made.getchannel("A"))
    titles = ["original", "its clipping path", "cut out"]
    row([i.crop(box) for i in (before, overlay, board)], titles, 420).save(target, quality=88)


def conversion(ours, theirs, target):
    ours, theirs = (tifffile.imread(file, key=0).astype(int) for file in (ours, theirs))
    difference = np.abs(ours - theirs)
    counts = ", ".join(f"{n}: {100 * np.mean(difference == n):.3f} %" for n in range(difference.max() + 1))
    print(f"largest difference {difference.max()} of 255, mean {difference.mean():.4f}; samples by difference: {counts}")
    pictures = [ours, theirs, np.minimum(difference * 100, 255)]
    titles = ["reprise", "littleCMS (tificc)", "difference, 100 times"]
    row([Image.fromarray(p.astype(np.uint8)) for p in pictures], titles, 420).save(target, quality=88)


if __name__ == "__main__":
    {"path": with_path, "cutout": cutout, "conversion": conversion}[sys.argv[1]](*sys.argv[2:])
