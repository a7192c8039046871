"""Called by the main Optio app with a service key."""
