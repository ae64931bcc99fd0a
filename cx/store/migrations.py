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
    """
-- Deliveries of GitHub that were acknowledged: what they ask to look at, not what they hold. Times are Unix seconds.
CREATE TABLE deliveries (
  id TEXT PRIMARY KEY, event TEXT NOT NULL, action TEXT NOT NULL, repository TEXT NOT NULL, number INTEGER NOT NULL,
  received_at REAL NOT NULL, times INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX deliveries_by_age ON deliveries (received_at);
-- Pull requests to look at; number 0 is a whole repository. `generation` goes up with every asking; `taken` is the
-- one that is being looked at, or 0.
CREATE TABLE queue (
  repository TEXT NOT NULL, number INTEGER NOT NULL, place INTEGER NOT NULL, generation INTEGER NOT NULL DEFAULT 1,
  taken INTEGER NOT NULL DEFAULT 0, not_before REAL NOT NULL DEFAULT 0, asked_at REAL NOT NULL,
  delivery TEXT NOT NULL DEFAULT '', PRIMARY KEY (repository, number)
) STRICT;
CREATE INDEX queue_by_place ON queue (place);
-- What people said in comments, by GitHub's number of the comment. outcome is '' until it was answered.
CREATE TABLE commands (
  comment_id INTEGER NOT NULL, line INTEGER NOT NULL, repository TEXT NOT NULL, number INTEGER NOT NULL,
  verb TEXT NOT NULL, argument TEXT NOT NULL, problem TEXT NOT NULL, login TEXT NOT NULL, said_at REAL NOT NULL,
  delivery TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT '', PRIMARY KEY (comment_id, line)
) STRICT;
CREATE INDEX commands_of ON commands (repository, number);
""",
    """
-- What cx knows of pull requests that cannot be observed: cx.pulls.Known. `facts` is JSON.
CREATE TABLE pulls (
  repository TEXT NOT NULL, number INTEGER NOT NULL, namespace TEXT NOT NULL UNIQUE, facts TEXT NOT NULL,
  PRIMARY KEY (repository, number)
) STRICT;
""",
    """
-- Namespaces that sleep, and their end in Unix seconds (NULL: none).
ALTER TABLE desired ADD COLUMN asleep INTEGER NOT NULL DEFAULT 0;
ALTER TABLE desired ADD COLUMN expires_at REAL;
""",
    """
-- Until when a repository's comments were listed for commands, in Unix seconds.
CREATE TABLE overheard (repository TEXT PRIMARY KEY, until REAL NOT NULL) STRICT;
""",
    """
-- What an attempt was to do: deploy, reset, restore, branch, wake, sleep or delete.
ALTER TABLE deployments ADD COLUMN doing TEXT NOT NULL DEFAULT 'deploy';
UPDATE deployments SET doing = 'wake' WHERE outcome = 'awake';
""",
    """
-- What a probe of the disk writes over and over: one row.
CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), filler BLOB NOT NULL) STRICT;
""",
    """
-- How the newest run of work that nobody waits for went. Times are Unix seconds; finished_at is NULL while it runs, or
-- when its process died in it.
CREATE TABLE chores (
  name TEXT PRIMARY KEY, started_at REAL NOT NULL, finished_at REAL, outcome TEXT NOT NULL,
  message TEXT NOT NULL DEFAULT ''
) STRICT;
""",
    """
-- When this host wrote to its forge, and until when the forge takes nothing, in Unix seconds.
CREATE TABLE forge_writes (id INTEGER PRIMARY KEY, at REAL NOT NULL) STRICT;
CREATE INDEX forge_writes_by_time ON forge_writes (at);
CREATE TABLE forge_pause (id INTEGER PRIMARY KEY CHECK (id = 1), until REAL NOT NULL) STRICT;
""",
    """
-- Followed repositories by the host configuration's names: GitHub's number, and the name that it has now.
CREATE TABLE repositories (name TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, current TEXT NOT NULL) STRICT;
""",
    """
-- A namespace belongs to whom its row in `desired` names: two pull requests may want one of the same name.
CREATE TABLE wanting (
  repository TEXT NOT NULL, number INTEGER NOT NULL, namespace TEXT NOT NULL, facts TEXT NOT NULL,
  PRIMARY KEY (repository, number)
) STRICT;
INSERT INTO wanting SELECT repository, number, namespace, facts FROM pulls;
DROP TABLE pulls;
ALTER TABLE wanting RENAME TO pulls;
""",
    """
-- How often in a row the look failed, and why it did last, unless by the forge's own fault.
ALTER TABLE queue ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN trouble TEXT NOT NULL DEFAULT '';
""",
    """
-- Commits that are pull requests' heads (`current`), and those that were until the forge shows how they ended (`told`):
-- cx.pulls.statuses. Times are Unix seconds.
CREATE TABLE heads (
  repository TEXT NOT NULL, number INTEGER NOT NULL, sha TEXT NOT NULL, state TEXT NOT NULL, description TEXT NOT NULL,
  url TEXT NOT NULL, final INTEGER NOT NULL, current INTEGER NOT NULL, told INTEGER NOT NULL, changed_at REAL NOT NULL,
  PRIMARY KEY (repository, number, sha)
) STRICT;
""",
)
