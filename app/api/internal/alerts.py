"""Alerts, for the console and for who asks instead of being told."""

from fastapi import APIRouter
from pydantic import Field

from app.alerts.list_alerts import AlertAnswer, list_alerts
from app.api.callers import READ
from app.api.dependencies import Opened
from app.api.problem_groups import INTERNAL_PROBLEMS
from app.api.problems import problems
from app.fields import ContractModel

router = APIRouter(prefix="/internal/v1", tags=["alerts"])


class AlertList(ContractModel):
    """Every rule."""

    items: list[AlertAnswer] = Field(description="Those that fire first.")


@router.get(
    "/alerts",
    name="listAlerts",
    summary="List alerts",
    description="What is wrong, since when, and what to do; measured each minute by the worker.",
    responses=problems(*INTERNAL_PROBLEMS),
    dependencies=[READ],
)
async def read_alerts(opened: Opened) -> AlertList:
    return AlertList(items=await list_alerts(opened.sessions))
