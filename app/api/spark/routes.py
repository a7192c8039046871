"""What Spark calls, in the order of the contract."""

from app.api.spark import course, roster, sso, submission, token, window

ROUTERS = (
    sso.router,
    token.router,
    submission.router,
    course.router,
    roster.router,
    window.router,
)
