"""What Spark sends and reads, beside a submission and its answer."""

from pydantic import Field

from app import fields


class CodeExchange(fields.ContractModel):
    """The one-time code from the redirect."""

    code: str = Field(
        title="Authorization code",
        description="The `code` of the redirect; valid for 60 s, once.",
        min_length=1,
        max_length=512,
        examples=["Wq3ZtY0mB1nC5vX8kLpR2sT4uV6wE7aG9hJ0dF1iK3o"],
    )


class TokenAnswer(fields.ContractModel):
    """The app tokens of a new session. The same tokens are set as cookies."""

    user_id: fields.Id = Field(description="The student's Optio user id.")
    app_access_token: str = Field(
        title="Access token",
        description="JWT for the main app's API, 1 hour by default.",
        examples=["eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoiYWNjZXNzIn0.c2lnbmF0dXJl"],
    )
    app_refresh_token: str = Field(
        title="Refresh token",
        description="JWT for the main app's refresh route, 30 days by default.",
        examples=["eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoicmVmcmVzaCJ9.c2lnbmF0dXJl"],
    )
    message: str = Field(description="For people.", examples=["Authentication successful"])
