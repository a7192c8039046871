"""The console: pages on which operators see what arrives and what fails, and mend it."""
