"""Work that waits for its time or for somebody else: durable, in our own tables (DESIGN R25)."""
