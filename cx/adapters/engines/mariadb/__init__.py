"""MariaDB, and MySQL by MariaDB: how a golden is filled and masked, and how a server runs on a copy."""

from cx.adapters.engines.mariadb.engine import MariaDB

__all__ = ["MariaDB"]
