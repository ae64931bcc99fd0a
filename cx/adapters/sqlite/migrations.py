"""The schema, one step after another. What has been released is never changed: add a step at the end."""

MIGRATIONS: tuple[str, ...] = (
    """
-- What should be. One row for each namespace; the row of one that is to be absent goes last.
CREATE TABLE desired (
  namespace TEXT PRIMARY KEY, present INTEGER NOT NULL, project TEXT NOT NULL, origin TEXT NOT NULL,
  commit_sha TEXT NOT NULL, tree TEXT NOT NULL, dirty INTEGER NOT NULL, environment TEXT NOT NULL,
  variables TEXT NOT NULL, host TEXT NOT NULL, reset_data INTEGER NOT NULL, changed_at REAL NOT NULL
) STRICT;
-- Attempts to bring a namespace to a revision. Times are Unix seconds; finished_at is NULL while it runs, or
-- when the process died in it.
CREATE TABLE deployments (
  id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, revision TEXT NOT NULL, version TEXT NOT NULL,
  started_at REAL NOT NULL, finished_at REAL, outcome TEXT NOT NULL DEFAULT 'running',
  message TEXT NOT NULL DEFAULT '', log TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX deployments_of ON deployments (namespace, id);
CREATE TABLE steps (
  deployment INTEGER NOT NULL REFERENCES deployments ON DELETE CASCADE, step TEXT NOT NULL,
  started_at REAL NOT NULL, duration_s REAL NOT NULL, outcome TEXT NOT NULL
) STRICT;
CREATE INDEX steps_of ON steps (deployment);
""",
)
