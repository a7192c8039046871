"""HEIC as JPEG, by `python -m app.pictures MAX_PIXELS`: HEIC on stdin, JPEG on stdout (DESIGN R29).

A process of its own: what decodes is written in C, needs 7 bytes for each pixel and reads what
strangers have sent, and it may take neither the service's memory nor its life.
"""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path

MEMORY_BYTES = 450 * 1024 * 1024  # 26 megapixels need 210 MB
CPU_SECONDS = 30
QUALITY = 85
TOO_LARGE, UNREADABLE = 3, 4  # as exit codes


class TooLargeError(Exception):
    """It has more pixels than it may have."""


def main() -> None:
    """Exits with TOO_LARGE or UNREADABLE if that is the picture's fault."""
    _bound()
    # Within the bounds. What fails here is no picture's fault.
    import pillow_heif  # noqa: PLC0415
    from PIL import JpegImagePlugin  # noqa: F401, PLC0415

    options = pillow_heif.options
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    try:
        _convert(sys.stdin.buffer.read(), int(sys.argv[1]))
    except (MemoryError, TooLargeError):
        sys.exit(TOO_LARGE)
    except Exception as failure:  # noqa: BLE001 - the decoder has no classes for it
        sys.exit(TOO_LARGE if "emory" in str(failure) else UNREADABLE)


def _bound() -> None:
    """Where memory is short, it is this process that ends, and others run first."""
    import resource  # noqa: PLC0415 - not on Windows

    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(ValueError):  # macOS has no limit of memory
            resource.setrlimit(limit, (least, hard))
    os.nice(10)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _convert(heic: bytes, max_pixels: int) -> None:
    """Turned as it is to be shown, in its own colours, and without Exif. Sizes are read first."""
    import pillow_heif  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    opened = pillow_heif.open_heif(io.BytesIO(heic))
    if opened.size[0] * opened.size[1] > max_pixels:
        raise TooLargeError
    pixels = opened.data  # from here on its size is what was decoded
    mode, stride = opened.mode, opened.stride
    picture = Image.frombuffer(mode, opened.size, pixels, "raw", mode, stride, 1)
    if picture.mode not in ("L", "RGB"):
        under = Image.new("RGB", picture.size, "white")
        under.paste(picture, mask=picture.getchannel("A"))
        picture = under
    colours = opened.info.get("icc_profile")
    picture.save(sys.stdout.buffer, "JPEG", quality=QUALITY, icc_profile=colours)


if __name__ == "__main__":
    main()
