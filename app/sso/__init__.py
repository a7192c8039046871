"""Sign-in: launch token, account, one-time code, app tokens."""
