"""What a service of ours does when nobody sets it."""

from app.settings import Settings

RATES = {
    name: field.default
    for name, field in Settings.model_fields.items()
    if name.startswith("rate_limit_") and field.annotation is int
}
