"""An event as a sentence for people, made from its type and its message; it names nobody."""

from collections.abc import Mapping

MESSAGE_CHARACTERS = 200  # older rows hold whole exceptions
SENTENCES = {
    "spark_sso_success": "Signed in from Spark",
    "spark_sso_failed": "Sign-in from Spark failed",
    "spark_sso_token_expired": "Sign-in from Spark refused, launch token expired",
    "spark_sso_invalid_token": "Sign-in from Spark refused, launch token invalid",
    "spark_account_linked": "Existing account linked to Spark",
    "spark_token_exchange_success": "Code exchanged for app tokens",
    "spark_token_exchange_failed": "Code exchange failed",
    "spark_token_code_reuse": "Code exchange refused, code used before",
    "spark_token_code_expired": "Code exchange refused, code expired",
    "spark_webhook_success": "Submission recorded",
    "spark_submission_restored": "Earlier submission shown again",
    "spark_webhook_failed": "Submission failed",
    "spark_webhook_invalid_signature": "Submission refused, signature invalid",
    "spark_webhook_replay_attack": "Submission refused, too old or repeated",
    "spark_file_download_success": "File downloaded",
    "spark_file_download_failed": "File download failed",
}


def describe_event(event_type: str, data: Mapping[str, object]) -> str:
    """Types without a sentence of their own are said in their own words."""
    sentence = SENTENCES.get(event_type, event_type.replace("_", " ").capitalize())
    message = data.get("error_message")
    if not isinstance(message, str) or not message:
        return sentence
    return f"{sentence}: {message[:MESSAGE_CHARACTERS]}"
