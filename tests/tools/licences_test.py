#!/usr/bin/env python3
"""docs/licences.tsv against what the built programs are really linked to.

    licences_test.py TABLE PROGRAM...

Every library that the loader would load (ldd, transitively) has exactly one row that says so; curate, ledger and
train load nothing of FFmpeg and nothing under the GPL without an exception; no row is left that nothing links.
"""
import pathlib
import re
import subprocess
import sys
import unittest

PROGRAMS = {}
ROWS = []


class Row:
    def __init__(self, line):
        self.name, self.soname, self.origin, self.spdx, linked_by, self.note = line.split("\t")
        self.linked_by = set(linked_by.split())


def libraries(program):
    """{soname: path} of everything that is loaded with `program`."""
    out = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in out.splitlines():
        words = line.split()
        if "not found" in line:
            raise AssertionError(f"{program}: {line.strip()}")
        if words[0].startswith("linux-vdso") or ".stand-ins/" in line:  # of tools/stand_ins.sh: our own
            continue
        found[pathlib.Path(words[0]).name] = words[2] if "=>" in words else words[0]
    return found


def row_of(soname):
    matches = [row for row in ROWS if re.fullmatch(row.soname, soname)]
    if len(matches) != 1:
        raise AssertionError(f"{soname}: {len(matches)} rows in docs/licences.tsv, expected 1")
    return matches[0]


def bound_by_gpl(spdx):
    """True when every choice of the expression has a GPL part without an exception."""
    return all(
        any(re.match(r"A?GPL-", term) and " WITH " not in term for term in choice.split(" AND "))
        for choice in spdx.split(" OR ")
    )


class Licences(unittest.TestCase):
    def test_every_linked_library_has_its_row(self):
        for name, found in PROGRAMS.items():
            self.assertGreater(len(found), 3, name)
            for soname in found:
                with self.subTest(program=name, library=soname):
                    linked_by = {word.removesuffix("+cuda") for word in row_of(soname).linked_by}
                    self.assertIn(name, linked_by)

    def test_all_but_curate_media_are_free_of_ffmpeg_and_gpl(self):
        for name in PROGRAMS.keys() - {"curate-media"}:
            for soname in PROGRAMS[name]:
                with self.subTest(program=name, library=soname):
                    row = row_of(soname)
                    self.assertNotEqual(row.name, "FFmpeg")
                    self.assertFalse(bound_by_gpl(row.spdx), row.spdx)

    def test_train_cannot_open_a_ledger(self):
        if "train" not in PROGRAMS:
            self.skipTest("train is not built")
        self.assertNotIn("SQLite", {row_of(soname).name for soname in PROGRAMS["train"]})

    def test_curate_media_is_seen_to_be_bound_by_gpl(self):
        """The check above can fail: on the program that does link GPL code, it says so."""
        if "curate-media" not in PROGRAMS:
            self.skipTest("curate-media is not built")
        self.assertTrue(any(bound_by_gpl(row_of(soname).spdx) for soname in PROGRAMS["curate-media"]))

    def test_no_row_is_left_over(self):
        for row in ROWS:
            for name in row.linked_by & PROGRAMS.keys():
                with self.subTest(row=row.name, program=name):
                    self.assertTrue(any(re.fullmatch(row.soname, soname) for soname in PROGRAMS[name]))

    def test_versions_come_from_where_the_table_says(self):
        for name, found in PROGRAMS.items():
            for soname, path in found.items():
                row = row_of(soname)
                with self.subTest(program=name, library=soname):
                    in_wheel = "site-packages" in path
                    self.assertTrue(in_wheel or row.origin.startswith("deb:") or "deb:" in row.note, path)
                    self.assertTrue(not in_wheel or row.origin.startswith("pypi:"), path)


if __name__ == "__main__":
    table, *programs = sys.argv[1:]
    lines = pathlib.Path(table).read_text(encoding="utf-8").splitlines()
    ROWS = [Row(line) for line in lines if line and not line.startswith("#")]
    PROGRAMS = {pathlib.Path(program).name: libraries(program) for program in programs}
    unittest.main(argv=sys.argv[:1], verbosity=2)
