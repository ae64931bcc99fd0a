import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

import pg8000.native

URL = urlparse(os.environ["DATABASE_URL"])


def hits():
    with socket.create_connection((os.environ["REDIS_HOST"], 6379), timeout=5) as cache:
        cache.sendall(b"INCR hits\r\n")
        return cache.recv(100).decode().strip().lstrip(":")


class Web(BaseHTTPRequestHandler):
    def do_GET(self):
        database = pg8000.native.Connection(
            URL.username, password=unquote(URL.password), host=URL.hostname, port=URL.port, database=URL.path[1:]
        )
        ((count, superuser),) = database.run(
            "SELECT (SELECT count(*) FROM customers), rolsuper FROM pg_roles WHERE rolname = current_user"
        )
        database.close()
        body = f"{count} customers, {hits()} hits, superuser {superuser}, edition {os.environ['EDITION']}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("0.0.0.0", 5000), Web).serve_forever()
