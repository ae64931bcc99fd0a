"""Looking for raw values in the files of a container.

Canaries are raw values, a column's name and a tab before each, in a file in the memory of that container (/dev/shm):
they are looked for there, and go with it. cx sees columns and counts only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cx.core.errors import Terminal
from cx.data.errors import LeakFound
from cx.data.workbench.tools import WORK, Tools
from cx.settings.masking import Masked

MIN_LENGTH = 8  # what is shorter occurs by chance
MAX_LENGTH = 120
SHM = "/dev/shm"  # noqa: S108 - memory of a container of our own
CANARIES = f"{SHM}/canaries"
_FILES = "files"
_COMMON = "export LC_ALL=C; comm -12 <(sort -u {a}) <(sort -u {b}) | wc -l; sort -u {a} | wc -l"

# The files that hold a canary, then those canaries; a grep that says anything but that a file is gone has failed.
# xargs says 123 where a grep found nothing.
IN_FILES = """halves=()
for half in {files}.0 {files}.1; do
  xargs -0 -r grep -aFlf {canaries}.only -- < $half > $half.in 2> $half.err & halves+=($!)
done
for half in "${{halves[@]}}"; do wait $half || [ $? = 123 ] || exit 1; done
cat {files}.?.in > {canaries}.in
if grep -hv 'No such file' {files}.?.err >&2; then exit 1; fi
tr '\\n' '\\0' < {canaries}.in | xargs -0 -r grep -aoFhf {canaries}.only -- | sort -u > {canaries}.hits"""
# Bytes stand in dumps as hexadecimal digits: so does each canary, beside itself.
_SPELL = r"""export LC_ALL=C; wc -l < {canaries}
awk -F '\t' 'BEGIN {{ for (n = 1; n < 256; n++) code[sprintf("%c", n)] = sprintf("%02x", n) }}
{{ hex = ""; for (n = 1; n <= length($2); n++) hex = hex code[substr($2, n, 1)]
  print $1 "\t" hex; print $1 "\t" toupper(hex) }}
' {canaries} > {canaries}.hex && cat {canaries}.hex >> {canaries} && cut -f2- {canaries} | sort -u > {canaries}.only"""
_IN_OUTPUT = """: > {canaries}.in
"$@" | {{ grep -aoFf {canaries}.only || [ $? = 1 ]; }} | sort -u > {canaries}.hits"""
# Names the columns whose canaries were found, with how many of each; then the files.
_SEARCH = """set -o pipefail; export LC_ALL=C
[ -s {canaries}.only ] || exit 0
{search} || exit 1
[ -s {canaries}.hits ] || exit 0
awk -F '\\t' 'NR == FNR {{ hit[$0]; next }} $2 in hit {{ print $1 }}' {canaries}.hits {canaries} | sort | uniq -c
echo
cat {canaries}.in"""


def hides(rule: Masked) -> bool:
    """The values of a column with this rule are not in the golden."""
    return rule.do not in ("keep", "shuffle") and not rule.shift_days


def like_chance(rule: Masked) -> bool:
    """A fake may be the same as somebody's value."""
    return rule.json is not None or rule.fake not in (None, "email", "username", "phone")


@dataclass(frozen=True)
class Leak:
    """Columns of which canaries were found, with how many, and where."""

    columns: Mapping[str, int]
    where: tuple[str, ...]

    def __str__(self) -> str:
        columns = ", ".join(f"{name} ({count})" for name, count in sorted(self.columns.items()))
        return f"raw values of {columns} are in {', '.join(self.where[:6])}{' ...' if len(self.where) > 6 else ''}"


def spell(tools: Tools) -> int:
    """The canaries are ready to be looked for, as texts and as bytes; how many there are."""
    ran = tools.run(["bash", "-c", f"set -e; {_SPELL.format(canaries=CANARIES)}"])
    if not ran.ok:
        raise Terminal(f"canaries could not be made ready ({' '.join(ran.errors[-1:])})")
    return int(ran.output)


def search(tools: Tools, files: Sequence[str]) -> Leak | None:
    """The canaries that are in the container's `files`, which two processes take in turns: best the largest first."""
    halves = [b"".join(file.encode() + b"\0" for file in files[half::2]) for half in range(2)]
    tools.put_parts(WORK, ((f"{_FILES}.{half}", names) for half, names in enumerate(halves)))
    return _searched(tools, IN_FILES.format(canaries=CANARIES, files=f"{WORK}/{_FILES}"), [], {})


def search_output(tools: Tools, argv: Sequence[str], environment: Mapping[str, str], where: str) -> Leak | None:
    """The canaries that are in what `argv` prints, which is called `where`."""
    found = _searched(tools, _IN_OUTPUT.format(canaries=CANARIES), argv, environment)
    return Leak(found.columns, (where,)) if found else None


def search_hits(tools: Tools, files: str) -> Leak | None:
    """Of what was found before, in the container's `files` (a pattern of the shell's): whose it is, and no places."""
    found = _searched(tools, f": > {CANARIES}.in; cat {files} | sort -u > {CANARIES}.hits", [], {})
    return Leak(found.columns, ()) if found else None


def _searched(tools: Tools, search: str, argv: Sequence[str], environment: Mapping[str, str]) -> Leak | None:
    script = _SEARCH.format(canaries=CANARIES, search="{\n" + search + "\n}")
    ran = tools.run(["bash", "-c", script, "bash", *argv], environment=environment)
    if not ran.ok:
        raise Terminal(f"the leak scan could not be made ({' '.join(ran.errors[-1:])})")
    if not ran.output:
        return None
    told, _, where = ran.output.partition("\n\n")
    counts = (line.split(maxsplit=1) for line in told.splitlines())
    return Leak({name: int(count) for count, name in counts}, tuple(where.splitlines()))


def refuse(leak: Leak | None) -> None:
    """Raises LeakFound."""
    if leak:
        raise LeakFound(
            f"the new golden is not used: {leak}",
            remedy="give those places a rule too, or the column canary = false where its values may be known",
        )


def in_both(tools: Tools, a: str, b: str) -> tuple[int, int]:
    """How many lines two files of the container have in common, and how many the first has; none twice."""
    ran = tools.run(["bash", "-c", _COMMON.format(a=a, b=b)])
    if not ran.ok:
        raise Terminal(f"two lists could not be compared ({' '.join(ran.errors[-1:])})")
    common, all_ = (int(line) for line in ran.output.split())
    return common, all_
