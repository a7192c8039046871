"""Launch tokens, accounts and one-time codes."""

from app.errors.kinds import (
    BadRequestError,
    ForbiddenError,
    ServiceError,
    UnauthorizedError,
    UnavailableError,
)


class LaunchTokenMissingError(BadRequestError):
    code, title, error = "token_missing", "Launch token missing", "Missing token parameter"


class LaunchTokenInvalidError(UnauthorizedError):
    code, title, error = "token_invalid", "Launch token invalid", "Invalid token signature"
    hint = (
        "Sign with HS256 and the SSO secret as literal text; the header may hold alg, typ and kid."
    )


class LaunchClaimsInvalidError(UnauthorizedError):
    code, title, error = "token_claims_invalid", "Launch claim invalid", "Invalid token: {claim}"


class LaunchTokenExpiredError(UnauthorizedError):
    code, title, error = (
        "token_expired",
        "Launch token expired",
        "Token expired. Please try again.",
    )
    hint = "Make a new launch token for each click; it may live 10 minutes."


class LaunchTokenReplayedError(UnauthorizedError):
    code, title, error = "token_replayed", "Launch token already used", "Token already used"
    hint = "Make a new launch token for each click."


class RoleNotAllowedError(ForbiddenError):
    code, title, error = "role_not_allowed", "Role not allowed", "Role not allowed"
    hint = "Only students sign in through Spark."


class AccountInactiveError(ForbiddenError):
    code, title, error = "account_inactive", "Account not active", "Account not active"


class AccountErasedError(AccountInactiveError):
    """The student was erased: neither a roster nor an older launch makes the account again."""

    hint = "The student was erased. A new click in Spark makes a new, empty account."


class AccountLinkForbiddenError(ForbiddenError):
    status, code = 409, "account_link_forbidden"
    title, error = "Account cannot be linked", "Account cannot be linked"
    hint = "The e-mail address belongs to an Optio account that Spark may not sign in to."


class SignInFailedError(ServiceError):
    error = "Failed to create user account"


class SsoNotConfiguredError(UnavailableError):
    code, title, error = "sso_not_configured", "SSO not configured", "SSO not configured"


class TokenExchangeFailedError(ServiceError):
    error = "Token exchange failed"


class CodeMissingError(BadRequestError):
    code, title, error = (
        "code_missing",
        "Authorization code missing",
        "Missing authorization code",
    )
    hint = 'Send a JSON object: {"code": "<the code from the redirect>"}.'


class CodeInvalidError(UnauthorizedError):
    code, title, error = (
        "code_invalid",
        "Authorization code invalid",
        "Invalid authorization code",
    )


class CodeAlreadyRedeemedError(UnauthorizedError):
    code, title = "code_used", "Authorization code already used"
    error = "Authorization code already used"


class CodeExpiredError(UnauthorizedError):
    code, title = "code_expired", "Authorization code expired"
    error = "Authorization code expired"
