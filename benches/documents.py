"""Ripping a PDF of 50 pages to pyramid TIFFs: `reprise` against pdftoppm followed by libvips, and against pypdfium2
handing its pixels to libvips. All three draw at 150 dpi, write deflate tiles of 256 × 256 with a predictor, and use as
many processes as the cores they are given.

    python benches/documents.py REPRISE [--cores 2] [--rounds 3]

REPRISE is the program. Needs pyvips (scripts/test-python.txt), pypdfium2 and numpy for the third, pdftoppm, taskset.
Prints wall-clock and CPU seconds of the best round of each, and ratios; the rounds of the three take turns. CPU time says
more on a machine that does other work.
"""

import argparse
import concurrent.futures
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

PAGES = 50
DPI = 150


def pdf(path):
    """A catalogue: text, vector drawings and an image of 600 × 400 on every page of A4."""
    image = bytes((x * y // 97 + 31 * c + (x ^ y)) % 256 for y in range(400) for x in range(600) for c in range(3))
    packed = zlib.compress(image, 6)
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{5 + 2 * n} 0 R" for n in range(PAGES))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {PAGES} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    head = f"<< /Type /XObject /Subtype /Image /Width 600 /Height 400 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode /Length {len(packed)} >>"
    objects.append(head.encode() + b"\nstream\n" + packed + b"\nendstream")
    for page in range(PAGES):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {6 + 2 * page} 0 R "
            "/Resources << /Font << /F 3 0 R >> /XObject << /I 4 0 R >> >> >>".encode()
        )
        content = ["q 300 0 0 200 50 600 cm /I Do Q"]
        for row in range(40):
            content.append(f"BT /F 10 Tf 50 {560 - 12 * row} Td (Page {page + 1}, line {row}: shoes of leather, in three colours) Tj ET")
        for curve in range(60):
            content.append(f"0.{curve % 10} 0.3 0.7 RG {curve / 30:.2f} w 380 {100 + 8 * curve} m 450 {curve * 9} 500 {700 - curve} 560 {100 + curve} c S")
        text = "\n".join(content).encode()
        objects.append(f"<< /Length {len(text)} >>\nstream\n".encode() + text + b"\nendstream")
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    out += f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    path.write_bytes(out)


def share(cores):
    """First and last page for each process."""
    bounds = [PAGES * n // cores for n in range(cores + 1)]
    return [(first + 1, last) for first, last in zip(bounds, bounds[1:])]


def save(image, path):
    image.tiffsave(
        str(path), tile=True, tile_width=256, tile_height=256, pyramid=True, depth="onetile",
        compression="deflate", predictor="horizontal", xres=DPI / 25.4, yres=DPI / 25.4,
    )


def poppler(folder, document, first, last):
    import pyvips

    prefix = folder / f"drawn-{first}"
    subprocess.run(["pdftoppm", "-r", str(DPI), "-f", str(first), "-l", str(last), "-tiff", document, prefix], check=True)
    for page in sorted(folder.glob(f"{prefix.name}-*.tif")):
        save(pyvips.Image.new_from_file(str(page), access="sequential"), folder / f"pyramid-{page.name}")


def pdfium(folder, document, first, last):
    import pypdfium2
    import pyvips

    opened = pypdfium2.PdfDocument(document)
    for number in range(first, last + 1):
        pixels = opened[number - 1].render(scale=DPI / 72, rev_byteorder=True).to_numpy()
        save(pyvips.Image.new_from_array(pixels), folder / f"pyramid-{number}.tif")


def peer(work, cores):
    def run(folder, document):
        with concurrent.futures.ProcessPoolExecutor(cores) as pool:
            done = [pool.submit(work, folder, document, first, last) for first, last in share(cores)]
            for part in done:
                part.result()

    return run


def reprise(program, cores):
    def run(folder, document):
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        library, job = folder / "lib", folder / "job.json"
        subprocess.run([program, "init", library], **quiet)
        subprocess.run([program, "ingest", library, document], **quiet)
        # RGB like the others, so that no page becomes gray.
        wish = {"assetHandleArray": ["a|1"], "createMask": False, "emailSetting": "None", "pdfOptions": {"resolution": DPI, "colorspace": "Rgb"}}
        job.write_text(json.dumps({"companyHandle": "c|1", "jobName": "bench", "reprocessAssetsJob": wish}))
        subprocess.run([program, "run", library, job, "--threads", str(cores), "--backend", "cpu", "--no-report"], **quiet)

    return run


def cpu_seconds():
    """Of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("reprise")
    arguments.add_argument("--cores", type=int, default=2)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    os.environ["VIPS_CONCURRENCY"] = "1"
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: options.cores]))

    works = {"reprise": reprise(os.path.abspath(options.reprise), options.cores)}
    if shutil.which("pdftoppm"):
        works["pdftoppm, then libvips"] = peer(poppler, options.cores)
    if importlib.util.find_spec("pypdfium2"):
        works["pypdfium2, then libvips"] = peer(pdfium, options.cores)
    best = {}
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "document.pdf"
        pdf(document)
        for _ in range(options.rounds):
            for name, work in works.items():
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    start, cpu = time.monotonic(), cpu_seconds()
                    work(Path(place), str(document))
                    seconds, cpu = time.monotonic() - start, cpu_seconds() - cpu
                    made = len([f for f in Path(place).rglob("*.tif") if not f.name.startswith("drawn")])
                    if made != PAGES:
                        sys.exit(f"{name} made {made} pyramids of {PAGES} pages")
                    wall, least = best.get(name, (seconds, cpu))
                    best[name] = min(wall, seconds), min(least, cpu)
    print("| 50 pages of A4 at 150 dpi to pyramids | seconds | times that of reprise | CPU seconds | times that of reprise |")
    print("|---|---|---|---|---|")
    wall, least = best["reprise"]
    for name, (seconds, cpu) in best.items():
        print(f"| {name} | {seconds:.2f} | {seconds / wall:.2f} | {cpu:.2f} | {cpu / least:.2f} |")


if __name__ == "__main__":
    main()
