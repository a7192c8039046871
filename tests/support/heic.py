"""HEIC that decodes: small ones as phones make them, and large ones, whose tiles are all one."""

import io
import struct
from functools import cache

import pillow_heif
from PIL import Image, ImageCms
from PIL.Image import Exif
from PIL.Image import Image as Picture

from app.files.scrub.boxes import children
from tests.support.samples import box

TILE = 512  # as iPhones write them
PLACE = "Secret Street 3"
COLOURS = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def scene(width: int = 96, height: int = 64, mode: str = "RGB") -> Picture:
    """No two sides of it are alike."""
    left = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (left, left.rotate(180), Image.new("L", left.size, 40)))
    picture.paste((250, 250, 250), (0, 0, width // 3, height // 3))
    picture = picture.convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.new("L", picture.size, 255))
    return picture


def heic(picture: Picture | None = None, *, orientation: int = 1) -> bytes:
    """With a name and colours in it."""
    exif = Exif()
    exif[0x010F], exif[0x013B], exif[0x0112] = "ACME", PLACE, orientation
    written = io.BytesIO()
    pillow_heif.from_pillow(picture or scene()).save(
        written, quality=90, exif=exif.tobytes(), icc_profile=COLOURS
    )
    return written.getvalue()


def full(kind: bytes, *content: bytes, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24) + b"".join(content))


def tiled(width: int, height: int) -> bytes:
    """Some kilobytes, whatever its size: each tile is where the first one is."""
    configuration, pixels = _tile()
    columns, rows = -(-width // TILE), -(-height // TILE)
    numbers = range(1, columns * rows + 1)
    grid = len(numbers) + 1
    infes = [full(b"infe", struct.pack(">HH4sB", n, 0, b"hvc1", 0), version=2) for n in numbers]
    infes.append(full(b"infe", struct.pack(">HH4sB", grid, 0, b"grid", 0), version=2))
    told = [struct.pack(">HBBB", n, 2, 0x81, 2) for n in numbers]
    told.append(struct.pack(">HBB", grid, 1, 3))
    properties = box(
        b"ipco",
        configuration
        + full(b"ispe", struct.pack(">II", TILE, TILE))
        + full(b"ispe", struct.pack(">II", width, height)),
    )
    of_grid = struct.pack(f">HH{len(numbers)}H", grid, len(numbers), *numbers)
    shape = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)

    def meta(at: int) -> bytes:
        places = [struct.pack(">HHHHII", n, 0, 0, 1, at, len(pixels)) for n in numbers]
        places.append(struct.pack(">HHHHII", grid, 1, 0, 1, 0, len(shape)))
        return full(
            b"meta",
            full(b"hdlr", bytes(4) + b"pict" + bytes(13)),
            full(b"pitm", struct.pack(">H", grid)),
            full(b"iinf", struct.pack(">H", grid), *infes),
            full(b"iref", box(b"dimg", of_grid)),
            box(b"iprp", properties + full(b"ipma", struct.pack(">I", grid), *told)),
            box(b"idat", shape),
            full(b"iloc", struct.pack(">HH", 0x4400, grid), *places, version=1),
        )

    begin = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    return begin + meta(len(begin) + len(meta(0)) + 8) + box(b"mdat", pixels)


@cache
def _tile() -> tuple[bytes, bytes]:
    """How it is to be decoded, as a box, and what."""
    written = io.BytesIO()
    noise = Image.effect_noise((TILE, TILE), 60).convert("RGB")
    pillow_heif.from_pillow(noise).save(written, quality=50, save_nclx_profile=False)
    content = written.getvalue()
    top = {kind: (start, stop) for kind, start, stop in children(content, 0, len(content))}
    pixels = content[slice(*top[b"mdat"])]
    start, stop = top[b"meta"]
    inner = {kind: (at, end) for kind, at, end in children(content, start + 4, stop)}
    start, stop = inner[b"iprp"]
    inner = {kind: (at, end) for kind, at, end in children(content, start, stop)}
    inner = {kind: (at, end) for kind, at, end in children(content, *inner[b"ipco"])}
    return box(b"hvcC", content[slice(*inner[b"hvcC"])]), pixels
