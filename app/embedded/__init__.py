"""A real PostgreSQL and a real S3 server from wheels, for a process that was given neither.

Enter through `servers.run_servers` and `secrets.local_secrets`; everything listens on 127.0.0.1.
"""
