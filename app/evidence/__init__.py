"""Evidence documents and completions."""
