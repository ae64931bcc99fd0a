"""Where the command begins. The overview is printed before anything else is imported: it is there at once."""

import os
import sys

OVERVIEW = """\
Usage: cx COMMAND [OPTIONS]

A preview environment for every pull request, on a Docker host that you own.

Previews:
  deploy   bring a namespace to what a folder holds
  delete   remove a namespace, and show that nothing of it is left
  list     the namespaces
  show     all about one: services, databases, URLs, history
  logs     what its services print
  exec     run a command in one of its containers
  open     open its URL in the browser
  events   what was done to it, step by step
  sleep    stop it, and keep its data
  wake     start it again
  extend   let it live longer
  prune    remove what belongs to no namespace that is wanted; shown first

Databases:
  db       goldens and clones: refresh, list, reset, psql, drop

Pull requests:
  git      listen to GitHub's webhooks, sync with it once, replay a delivery

The host:
  up       start the host's stack: the router and the database server
  down     stop it
  doctor   check all that previews need, and say what mends what is wrong
  config   the host's configuration: show, path

Options:
  --version             print the version
  --install-completion  complete commands and names in this shell
  --show-completion     print what does that, to copy it
  -h, --help            print this; behind a command: all about that one
"""


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 usage, 75 try again, 130 interrupted."""
    if sys.argv[1:] in ([], ["--help"], ["-h"]) and "_CX_COMPLETE" not in os.environ:  # a shell asks without a word
        print(OVERVIEW, end="")
        return
    import gc

    from cx.process.beginning import begin

    begin()
    gc.set_threshold(150_000, 20, 20)  # what is made while it loads is no garbage, and there is less of it than that
    from cx.cli.main import main as run

    run()
