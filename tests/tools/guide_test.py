#!/usr/bin/env python3
"""Runs pages of docs/ as a stranger would: every command of their ```sh blocks, in order, in one shell and an empty folder.

    guide_test.py FOLDER LEDGER CURATE          docs/ledger.md, docs/audit.md, docs/rights.md, docs/curate.md, docs/publish.md and docs/witness.md;
                                                Go's build cache lies in FOLDER
    guide_test.py FOLDER LEDGER CURATE TRAIN    docs/training.md

A command must exit with 0, or with N where its line ends in "# exit N". Each line "#> words" after it must be a line of what it printed,
in order; a … there stands for anything.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
PAGES = {page: (HERE.parents[1] / page).read_text(encoding="utf-8") for page in ("docs/ledger.md", "docs/audit.md", "docs/rights.md", "docs/curate.md", "docs/publish.md",
                                                                                       "docs/witness.md", "docs/training.md")}
BUILD_FOLDER, PROGRAMS = pathlib.Path(), []


class Command:
    def __init__(self, number):
        self.number, self.lines, self.code, self.says = number, [], 0, []

    @property
    def text(self):
        return "\n".join(self.lines)


def blocks(page):
    """(line number, lines) of each ```sh block."""
    inside, start, lines = False, 0, []
    for number, line in enumerate(page.splitlines(), 1):
        if line == "```sh":
            inside, start, lines = True, number + 1, []
        elif line == "```" and inside:
            inside = False
            yield start, lines
        elif inside:
            lines.append(line)
    if inside:
        raise AssertionError(f"the block at line {start} has no end")


def commands(page):
    found, here = [], ""
    for start, lines in blocks(page):
        for number, line in enumerate(lines, start):
            if here:  # in a here-document
                found[-1].lines.append(line)
                here = "" if line == here else here
            elif line.startswith("#> "):
                found[-1].says.append(line[3:])
            elif line:
                found.append(Command(number))
                found[-1].lines.append(line)
                code = re.search(r"  # exit (\d+)$", line)
                found[-1].code = int(code[1]) if code else 0
                quoted = re.search(r"<<'?(\w+)'?$", line)
                here = quoted[1] if quoted else ""
    return found


def script(found):
    """Each command's output goes to N.out and its exit code to N.code; the first that is not as expected is the last to run."""
    out = ['trap \'kill $(jobs -p) 2>/dev/null\' EXIT']
    for n, command in enumerate(found):
        out += ["{", command.text, f'}} >"$OUT/{n}.out" 2>&1 </dev/null', 'code=$?', f'echo $code >"$OUT/{n}.code"',
                f"[ $code = {command.code} ] || exit 1"]
    return "\n".join(out) + "\n"


def missing(says, printed):
    """The first of the lines that were promised and not printed, in order."""
    rest = iter(printed.splitlines())
    for words in says:
        pattern = re.compile(".*".join(map(re.escape, words.split("…"))))
        if not any(pattern.fullmatch(line) for line in rest):
            return words
    return None


def run(name, page, top, programs, cache):
    """What is not as the page of this name says, empty if all is, after its commands were run in top/guide with these programs on the PATH."""
    found = commands(page)
    folder, out, bin_folder = (pathlib.Path(top) / name for name in ("guide", "out", "bin"))
    for made in (folder, out, bin_folder, cache):
        made.mkdir(parents=True, exist_ok=True)
    for program in programs:
        (bin_folder / program.name).symlink_to(program)
    (folder / ".go-cache").symlink_to(cache)
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "CLEARED": str(HERE.parents[1]), "OUT": str(out), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["bash", "-c", script(found)], cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False)
    for n, command in enumerate(found):
        where = f"{name}:{command.number}: {command.lines[0]}"
        if not (out / f"{n}.code").exists():
            return f"{where}: was not run; {done.stderr}"
        code = int((out / f"{n}.code").read_text())
        printed = (out / f"{n}.out").read_text(encoding="utf-8", errors="replace")
        lacks = missing(command.says, printed)
        if code != command.code or lacks is not None:
            return f"{where}\nexit {code}, expected {command.code}; {'' if lacks is None else 'lacks: ' + lacks}\n{printed}"
    return ""


class Guide(unittest.TestCase):
    maxDiff = None  # the difference is what the page lacks

    def test_every_command_does_what_the_page_says(self):
        pages = (("docs/training.md", 30),) if len(PROGRAMS) > 2 else (("docs/ledger.md", 80), ("docs/audit.md", 50), ("docs/rights.md", 25), ("docs/curate.md", 25), ("docs/publish.md", 15),
                                                                                     ("docs/witness.md", 20))
        for name, least in pages:
            with self.subTest(name), tempfile.TemporaryDirectory() as top:
                self.assertGreater(len(commands(PAGES[name])), least)
                self.assertEqual(run(name, PAGES[name], top, PROGRAMS, BUILD_FOLDER / ".go-cache"), "")


class Reader(unittest.TestCase):
    SMALL = "```sh\na # b\n#> one … three\nc   # exit 4\ncat <<'END'\n#> no\nEND\n```\n    d\n```sh\ne\n```\n"

    def test_reads_commands_codes_and_what_they_say(self):
        found = [(c.number, c.text, c.code, c.says) for c in commands(self.SMALL)]
        self.assertEqual(found, [(2, "a # b", 0, ["one … three"]), (4, "c   # exit 4", 4, []), (5, "cat <<'END'\n#> no\nEND", 0, []),
                                 (11, "e", 0, [])])

    def test_misses_what_was_not_printed(self):
        for says, printed, lacks in ((["a … c"], "a b c\n", None), (["a … c"], "a b\n", "a … c"), (["a"], "ab\n", "a"), (["a", "b"], "b\na\n", "b"),
                                     ([], "", None), (["(1 row)"], "(1 rows)\n", "(1 row)")):
            self.assertEqual(missing(says, printed), lacks, says)


if __name__ == "__main__":
    BUILD_FOLDER, *PROGRAMS = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    unittest.main(argv=sys.argv[:1], verbosity=2)
