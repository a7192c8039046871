"""Real pictures and films, told everything by exiftool and judged by it again (DESIGN R29), and by
decoders: what they show is the same.
"""

import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any

import av
import pillow_heif
import pytest
from av.video.stream import VideoStream
from PIL import Image, ImageCms, ImageOps
from PIL.Image import Image as Picture

from app.files.scrub import begin_scrub

EXIFTOOL = shutil.which("exiftool")
pytestmark = pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not installed")
pillow_heif.register_heif_opener()

WORDS = ("47.1234", "8.5678", "47 deg", "ACME", "Model 3", "123456", "Secret Street")
PLACE = ("-GPSLatitude=47.1234", "-GPSLatitudeRef=N", "-GPSLongitude=8.5678", "-GPSLongitudeRef=E")
CAMERA = ("-Make=ACME", "-Model=Model 3", "-SerialNumber=123456", "-Artist=Secret Street 3")
XMP = ("-XMP:GPSLatitude=47.1234", "-XMP:Location=Secret Street", "-XMP:Creator=ACME")
PICTURE_TAGS = (*PLACE, *CAMERA, *XMP, "-Orientation#=6")
FILM_TAGS = (
    "-Keys:GPSCoordinates=47.1234, 8.5678",
    "-UserData:GPSCoordinates=47.1234, 8.5678",
    "-ItemList:GPSCoordinates=47.1234, 8.5678",
    "-Keys:Make=ACME",
    "-UserData:Model=Model 3",
    *XMP,
)
MORE = {"jpg": ("-IPTC:Sub-location=Secret Street", "-Comment=ACME"), "png": ("-Comment=ACME",)}


@cache
def scene() -> Picture:
    """Nothing that compresses to nothing."""
    waves = Image.effect_mandelbrot((160, 120), (-2, -1.5, 1, 1.5), 60)
    return Image.merge("RGB", (waves, ImageOps.mirror(waves), ImageOps.flip(waves)))


def picture(path: Path, **options: Any) -> None:
    colours = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    scene().save(path, icc_profile=colours, **options)


def film(path: Path, **options: str) -> None:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=10)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.time_base = 160, 120, Fraction(1, 10)
        for turn in range(10):
            turned = scene().rotate(turn * 9)
            frame = av.VideoFrame.from_image(turned)  # type: ignore[no-untyped-call]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def pixels(content: bytes) -> tuple[object, ...]:
    """What a reader sees of it, as it is to be turned, and its colours."""
    with Image.open(io.BytesIO(content)) as opened:
        turned = opened.getexif().get(0x0112, 1)
        profile = opened.info.get("icc_profile")
        shown = hashlib.sha256(opened.convert("RGB").tobytes()).digest()
        return opened.size, turned, profile, shown


def frames(content: bytes) -> tuple[object, ...]:
    with av.open(io.BytesIO(content), "r") as container:
        shown = [bytes(plane) for frame in container.decode(video=0) for plane in frame.planes]
    return len(shown), hashlib.sha256(b"".join(shown)).digest()


FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "baseline.jpg": ("image/jpeg", partial(picture, quality=90)),
    "progressive.jpg": ("image/jpeg", partial(picture, progressive=True)),
    "picture.png": ("image/png", picture),
    "lossy.webp": ("image/webp", picture),
    "lossless.webp": ("image/webp", partial(picture, lossless=True)),
    "picture.heic": ("image/heic", picture),
    "end.mp4": ("video/mp4", film),
    "start.mp4": ("video/mp4", partial(film, movflags="faststart")),
    "film.mov": ("video/quicktime", film),
}


def exiftool(*arguments: str | Path) -> str:
    done = subprocess.run(  # noqa: S603 - ours
        [EXIFTOOL or "", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each of the files, and all that exiftool could write into it."""
    folder = tmp_path_factory.mktemp("told")
    for name, (_, make) in FILES.items():
        make(folder / name)
    for ending in sorted({name.rpartition(".")[2] for name in FILES}):
        tags = FILM_TAGS if ending in ("mp4", "mov") else PICTURE_TAGS
        chosen = sorted(folder.glob(f"*.{ending}"))
        exiftool("-q", "-overwrite_original", *tags, *MORE.get(ending, ()), *chosen)
    return folder


@pytest.fixture(scope="module")
def stored(told: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is stored of them."""
    folder = tmp_path_factory.mktemp("stored")
    for name, (media_type, _) in FILES.items():
        begun = begin_scrub(media_type)
        assert begun
        content = begun.feed((told / name).read_bytes()) + begun.end()
        assert begun.location == "removed"
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def said(told: Path, stored: Path) -> dict[str, tuple[str, str]]:
    """All that exiftool finds in each, as it was sent and as it is stored."""
    found = [
        json.loads(exiftool("-json", "-G1", "-a", "-u", "-ee", "-n", *sorted(folder.iterdir())))
        for folder in (told, stored)
    ]
    return {
        Path(each[0]["SourceFile"]).name: (_tags(each[0]), _tags(each[1]))
        for each in zip(*found, strict=True)
    }


def _tags(found: dict[str, Any]) -> str:
    outside = ("SourceFile", "ExifTool:", "System:")
    kept = {name: value for name, value in found.items() if not name.startswith(outside)}
    return json.dumps(kept, indent=1)


@pytest.mark.parametrize("name", FILES)
def test_exiftool_finds_no_place_camera_or_name_in_what_is_stored(
    said: dict[str, tuple[str, str]], name: str
) -> None:
    before, after = said[name]
    assert "GPS" in before
    assert "47.1234" in before
    assert not [word for word in (*WORDS, "GPS", "XMP", "IPTC", "Warning") if word in after], after


@pytest.mark.parametrize("name", FILES)
def test_decoders_see_the_same_picture(told: Path, stored: Path, name: str) -> None:
    look = frames if name.endswith(("mp4", "mov")) else pixels
    before, after = (look((folder / name).read_bytes()) for folder in (told, stored))
    assert before == after
    if look is pixels and not name.endswith("heic"):
        assert before[1] == 6
