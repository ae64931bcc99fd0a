"""MariaDB and MySQL: rows masked in a scratch server that no network reaches."""
