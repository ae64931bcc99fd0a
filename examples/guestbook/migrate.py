"""The release command: brings the database to what this version of the app needs."""

from app import database

connection = database()
connection.run(
    "CREATE TABLE IF NOT EXISTS guestbook (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " author text NOT NULL, note text NOT NULL, signed_at timestamptz NOT NULL DEFAULT now())"
)
connection.close()
print("the database is up to date")
