"""MariaDB and MySQL: how a golden is filled, and how a server runs on a clone."""
