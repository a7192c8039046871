"""Whether clamd judges files as large as those we take, tried by one of zeros."""

from app.adoption.finding import Finding
from app.files.scan_file import Scanner
from app.settings import MEBIBYTE, Settings

STEP = bytes(MEBIBYTE // 4)


async def try_scanner(settings: Settings) -> list[Finding]:
    """Nothing where there is none."""
    if settings.clamd_url is None:
        return []
    left = max(settings.max_file_bytes, settings.max_evidence_file_bytes)
    megabytes = f"{left / MEBIBYTE:g} MiB"
    async with Scanner(settings.clamd_url, required=False).scan() as scan:
        while left > 0:
            await scan.feed(STEP[:left])
            left -= len(STEP)
        await scan.end()
    if scan.failure is None:
        return [Finding("ok", "scanner", f"judges a file of {megabytes}")]
    if scan.failure == "too_large":
        text = f"takes no file of {megabytes}"
        do = "Set its StreamMaxLength, MaxFileSize and MaxScanSize to MAX_FILE_BYTES at least."
    else:
        text = f"does not answer as clamd does: {scan.failure}"
        do = "Check CLAMD_URL, that clamd runs, and that its TCPSocket may be reached from here."
    return [Finding("refuse", "scanner", text, do)]
