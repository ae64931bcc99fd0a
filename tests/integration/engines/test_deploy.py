"""A project with MariaDB, Redis and uploads in its Compose file, deployed as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pymysql
from engineworld import volumes_of
from live import Cx, Project

COMPOSE = """
services:
  app:
    build: .
    ports: ["8000"]
    depends_on: [mysql, cache]
    environment: {DB_HOST: mysql, DB_USER: shop, DB_PASSWORD: from the file}
    volumes: ["uploads:/uploads"]
  mysql:
    image: mariadb:10.6
    environment: {MARIADB_DATABASE: shop, MARIADB_USER: shop, MARIADB_PASSWORD: from the file, MARIADB_ROOT_PASSWORD: r}
    volumes: ["db:/var/lib/mysql"]
  cache:
    image: redis:7
volumes: {db: {}, uploads: {}}
"""
APP = """
import http.server, os, pathlib, signal, socket, sys, pymysql

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        db = pymysql.connect(host=os.environ["DB_HOST"], user=os.environ["DB_USER"],
            password=os.environ["DB_PASSWORD"], database="shop", autocommit=True)
        with db, db.cursor() as cursor:
            if self.path == "/add":
                cursor.execute("INSERT INTO people VALUES (9, 'zoe')")
            if self.path == "/remove":
                cursor.execute("DELETE FROM people WHERE id = 9")
            cursor.execute("SELECT count(*), min(email) FROM people")
            people = cursor.fetchone()
        with socket.create_connection(("cache", 6379)) as redis:
            redis.sendall(b"INCR hits\\r\\nGET greeting\\r\\n")
            said = redis.recv(100).split()
        text = f"{people} {said} {os.environ['DATABASE_URL']} {pathlib.Path('/uploads/a.txt').read_text()}".encode()
        self.send_response(200); self.end_headers(); self.wfile.write(text)
    def log_message(self, *_): pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def test_a_compose_project_of_three_engines(engines: Cx, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(Path(pymysql.__file__).parent, folder / "pymysql", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "compose.yml").write_text(COMPOSE)
    (folder / "app.py").write_text(APP)
    (folder / "Dockerfile").write_text('FROM python:3.13-slim\nCOPY . /app\nCMD ["python", "/app/app.py"]\n')
    project = Project(tmp_path / "repository", folder)
    name = "preview-7"
    try:
        said = engines("deploy", project.folder, "--namespace", name).stdout
        assert "services.mysql: is a clone of the host's database shop" in said
        text = engines.get(name)
        assert "(2, '1@masked')" in text
        assert "hello" in text
        assert "from the golden" in text
        assert "mysql://shop:from%20the%20file@mysql:3306/shop" in text
        assert "(3, " in engines.get(name, "/add")

        assert "hello" in engines("db", "psql", name, "cache", stdin="get greeting\n").stdout
        cut = engines("db", "snapshot", name, "cut", "files", check=False, CX_TEST_DIE_AT="copy:stopped")
        assert cut.returncode == -9
        assert "(3, " in _deployed(engines, project, name)  # which starts the app again, and sweeps
        assert len(volumes_of(engines, name)) == 6  # one of each, and their marks
        project.write("app.py", APP + "# again\n")
        assert "(3, " in _deployed(engines, project, name)  # data survives a redeploy
        assert "nothing changed" in engines("deploy", project.folder, "--namespace", name).stdout
        shown = engines("db", "list").stdout
        assert all(f"{engines.instance}.{name}.{source}." in shown for source in ("shop", "cache", "files"))

        engines("db", "snapshot", name, "kept", "shop")
        assert "(2, " in engines.get(name, "/remove")
        engines("db", "dump", name, "shop", "--file", tmp_path / "shop.sql")
        assert (tmp_path / "shop.sql").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "shop.sql").read_text().count("'1@masked'") == 1
        assert "snapshot kept" in engines("db", "list").stdout
        engines("db", "restore", name, "kept", "shop", "--force")
        assert "(3, " in engines.get(name)
        engines("db", "snapshot", name, "kept", "shop", "--remove")

        engines("sleep", name)
        engines("wake", name)
        assert "(3, " in engines.get(name)
        engines("db", "reset", name, "--force")
        assert "(2, '1@masked')" in engines.get(name)
        assert len(volumes_of(engines, name)) == 6  # one of each, and their marks
    finally:
        engines("delete", "--namespace", name, "--force")
    assert engines.observe(name).leftovers() == []
    assert volumes_of(engines, name) == []


def _deployed(cx: Cx, project: Project, name: str) -> str:
    cx("deploy", project.folder, "--namespace", name)
    return cx.get(name)
