"""All pages of the console, in the order in which they are looked for."""

from app.api.style import router as style
from app.console import deliveries, delivery, explain, outbound, overview, sign_in, system

ROUTERS = (
    style,
    sign_in.router,
    overview.router,
    deliveries.router,
    delivery.router,
    explain.router,
    outbound.router,
    system.router,
    sign_in.rest,
)
