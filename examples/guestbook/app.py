"""A guestbook: reads and writes its PostgreSQL database, and serves HTTP, with one dependency."""

import html
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pg8000.native

GREETING = "Guestbook"


def database():
    return pg8000.native.Connection(
        host=os.environ["PGHOST"],
        port=int(os.environ["PGPORT"]),
        user=os.environ["PGUSER"],
        password=os.environ["PGPASSWORD"],
        database=os.environ["PGDATABASE"],
    )


class Guestbook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, "ok\n")
            return
        connection = database()
        try:
            (count,) = connection.run("SELECT count(*) FROM customers")[0]
            notes = connection.run("SELECT author, note FROM guestbook ORDER BY id DESC LIMIT 20")
        finally:
            connection.close()
        items = "".join(f"<li><b>{html.escape(author)}</b>: {html.escape(note)}</li>" for author, note in notes)
        self.answer(
            200,
            f"<!doctype html><meta charset=utf-8><title>{GREETING}</title>"
            "<style>body{font:16px system-ui;max-width:40em;margin:3em auto}</style>"
            f"<h1>{GREETING}</h1><p>{count} customers in this preview's own database.</p>"
            f"<form method=post><input name=author placeholder=name required> "
            f"<input name=note placeholder=note required> <button>Sign</button></form><ul>{items}</ul>\n",
        )

    def do_POST(self):
        length = min(int(self.headers.get("Content-Length", 0)), 10_000)
        form = parse_qs(self.rfile.read(length).decode())
        connection = database()
        try:
            connection.run(
                "INSERT INTO guestbook (author, note) VALUES (:author, :note)",
                author=form.get("author", ["somebody"])[0],
                note=form.get("note", [""])[0],
            )
        finally:
            connection.close()
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text, *values):
        print(text % values, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # process 1 of a container ignores it otherwise
    server = ThreadingHTTPServer(("0.0.0.0", 8000), Guestbook)  # noqa: S104
    server.daemon_threads = False  # what is being answered is answered
    server.serve_forever()
