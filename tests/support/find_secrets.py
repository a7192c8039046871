"""Looks for secrets in the files of the repository; what is known to be none has its reason."""

import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings

KNOWN = Path(__file__).with_name("no_secrets.toml")
# openapi/ is made of app/, and long.
FILES = ("git", "ls-files", "-z", "--", ":!openapi", f":!{KNOWN.name}", f":!*/{KNOWN.name}")
VERIFICATION = "detect_secrets.filters.common.is_ignored_due_to_verification_policies"


def main() -> int:
    known = set(chain.from_iterable(tomllib.loads(KNOWN.read_text()).values()))
    names = subprocess.run(FILES, check=True, capture_output=True, text=True).stdout  # noqa: S603
    found = SecretsCollection()
    with default_settings() as settings:
        settings.disable_filters(VERIFICATION)  # it would ask services on the network
        found.scan_files(*names.strip("\0").split("\0"))
    values = {secret.secret_value for _, secret in found}
    for name, secret in found:
        if secret.secret_value not in known:
            sys.stdout.write(f"{name}:{secret.line_number}: {secret.type}\n")
    for value in known - values:
        sys.stdout.write(f"{KNOWN.name}: nothing is like {value} any more\n")
    return int(values != known)


if __name__ == "__main__":
    sys.exit(main())
