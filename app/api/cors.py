"""CORS for the one route that a browser calls from another origin (CONTRACT 4)."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/spark/token"


class TokenCors:
    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        self._app = app
        self._cors = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_credentials=True,
            allow_methods=["POST"],
            allow_headers=["Content-Type"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_asked = scope.get("path") == PATH and _names_one_origin(scope)
        await (self._cors if is_asked else self._app)(scope, receive, send)


def _names_one_origin(scope: Scope) -> bool:
    """Of several the middleware would look at the first, and a browser sends one."""
    return [name for name, _ in scope["headers"]].count(b"origin") == 1
