"""Parts of a refresh: the source, its dump, the restore, and the containers that PostgreSQL's programs run in."""
