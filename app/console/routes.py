"""All pages of the console, in the order in which they are looked for."""

from app.console import deliveries, delivery, explain, outbound, overview, sign_in, system

ROUTERS = (
    sign_in.router,
    overview.router,
    deliveries.router,
    delivery.router,
    explain.router,
    outbound.router,
    system.router,
    sign_in.rest,
)
