"""The live Optio database, whose `public` is the main app's: what is needed of it, what differs
from one of our own, and how the service moves in beside it.
"""
