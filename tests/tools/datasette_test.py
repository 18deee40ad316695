#!/usr/bin/env python3
"""Datasette opens a ledger with the metadata we ship: every page and canned question, labels through foreign keys.

    datasette_test.py LEDGER CURATE FOLDER      as guide_test.py, whose first part makes the ledger; package: tools/python/test.txt
"""
import asyncio
import json
import pathlib
import re
import sqlite3
import sys
import tempfile
import unittest

import guide_test

try:
    from datasette.app import Datasette
except ImportError as absent:
    print(f"skipped: {absent}; pip install -r tools/python/test.txt", file=sys.stderr)
    sys.exit(77)

LEDGER, CURATE, FOLDER = (pathlib.Path(),) * 3
METADATA = json.loads((guide_test.HERE.parents[1] / "configs/datasette/metadata.json").read_text(encoding="utf-8"))
SHIPPED = METADATA["databases"]["ledger"]
PATIENT = {"sql_time_limit_ms": 60000, "facet_time_limit_ms": 60000}


class Opens(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.TemporaryDirectory()
        page = guide_test.PAGES["docs/ledger.md"]
        wrong = guide_test.run("docs/ledger.md", page[:page.index("## 1.")], cls.top.name, [LEDGER, CURATE], FOLDER / ".go-cache")
        if wrong:
            raise AssertionError(wrong)
        cls.file = pathlib.Path(cls.top.name) / "guide/ledger.db"
        cls.datasette = Datasette([str(cls.file)], metadata=METADATA, settings=PATIENT)

    @classmethod
    def tearDownClass(cls):
        cls.top.cleanup()

    def get(self, path):
        answer = asyncio.run(self.datasette.client.get(f"/ledger/{path}"))
        self.assertEqual(answer.status_code, 200, f"{path}: {answer.text[:500]}")
        return answer

    def names(self):
        with sqlite3.connect(f"file:{self.file}?mode=ro", uri=True) as db:
            return [name for name, in db.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")]

    def test_every_table_and_view_has_a_page(self):
        names = self.names()
        self.assertGreater(len(names), 40)
        for name in names:
            self.get(name)

    def test_every_table_that_is_described_is_there(self):
        self.assertEqual(set(SHIPPED["tables"]) - set(self.names()), set())

    def test_every_question_is_answered(self):
        for name, question in SHIPPED["queries"].items():
            words = re.findall(r":(\w+)", question["sql"])
            self.get(f"{name}.json?_shape=objects&" + "&".join(f"{word}={'1' if word == 'days' else ''}" for word in words))

    def test_a_licence_has_its_name_where_it_is_referred_to(self):
        rows = self.get("source_licence.json?_labels=on&_shape=objects").json()["rows"]
        self.assertEqual([row["licence"]["label"] for row in rows], ["PATTERN@1"])
        self.assertEqual([row["seq"]["label"] for row in rows], ["2026-11/pattern.webm"])


if __name__ == "__main__":
    LEDGER, CURATE, FOLDER = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    unittest.main(argv=sys.argv[:1], verbosity=2)
