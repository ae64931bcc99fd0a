"""MariaDB and MySQL: how a golden is filled and masked, and how a server runs on a copy."""

from cx.adapters.engines.mariadb.dialect import MARIADB, MYSQL
from cx.adapters.engines.mariadb.engine import MariaDB

__all__ = ["MARIADB", "MYSQL", "MariaDB"]
