#!/usr/bin/env python3
"""Datasette opens a ledger: every table, every view, every ready-made question of configs/datasette/metadata.json; references lead on.
Package: tools/python/test.txt.

    datasette_test.py LEDGER LICENCE_TEXT METADATA
"""
import asyncio
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    from datasette.app import Datasette
except ImportError as missing:
    print(f"skipped: {missing}; pip install -r tools/python/test.txt", file=sys.stderr)
    sys.exit(77)

LEDGER, LICENCE, METADATA = "", "", ""


def must(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}: {done.stderr}")
    return done.stdout


class Opened(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.top.name)
        db = folder / "ledger.db"  # the name that the metadata speaks of
        must(LEDGER, "init", db, "--origin", "test.example/ledger")
        for name, role in [("demo-licensor", "licensor"), ("demo-studio", "licensee")]:
            must(LEDGER, "key", "new", name, "--role", role, "--out", folder / name)
        must(LEDGER, "sign", LICENCE, "--key", folder / "demo-licensor.key", "--out", folder / "a.licence")
        must(LEDGER, "sign", folder / "a.licence", "--key", folder / "demo-studio.key")
        must(LEDGER, "append", db, folder / "demo-licensor.pub", folder / "demo-studio.pub", folder / "a.licence")
        cls.before = db.read_bytes()
        cls.db = db
        cls.metadata = json.loads(pathlib.Path(METADATA).read_text(encoding="utf-8"))
        cls.site = Datasette([str(db)], metadata=cls.metadata)

    @classmethod
    def tearDownClass(cls):
        cls.top.cleanup()

    def get(self, path):
        async def ask():
            await self.site.invoke_startup()
            return await self.site.client.get(path)

        answer = asyncio.run(ask())
        self.assertEqual(answer.status_code, 200, f"{path}: {answer.text[:500]}")
        return answer

    def test_every_table_and_view_is_shown(self):
        found = self.get("/ledger.json").json()
        names = [table["name"] for table in found["tables"]] + [view["name"] for view in found["views"]]
        self.assertGreater(len(names), 30)
        for name in names:
            with self.subTest(name):
                self.get(f"/ledger/{name}")

    def test_every_question_is_answered(self):
        questions = self.metadata["databases"]["ledger"]["queries"]
        self.assertGreater(len(questions), 3)
        for name in questions:
            with self.subTest(name):
                answer = self.get(f"/ledger/{name}.json?path=&licence=&rule=&checkpoint=&licensor=&from=&to=&run=").json()
                self.assertTrue(answer.get("ok", True), answer)

    def test_facets_are_computed(self):
        for name, table in self.metadata["databases"]["ledger"].get("tables", {}).items():
            with self.subTest(name):
                answer = self.get(f"/ledger/{name}.json").json()
                self.assertEqual(set(table.get("facets", [])) - set(answer.get("facet_results", {})), set())

    def test_a_reference_leads_to_the_name_of_the_licence(self):
        tables = {table["name"]: table for table in self.get("/ledger.json").json()["tables"]}
        keys = tables["source_licence"]["foreign_keys"]["outgoing"]
        self.assertIn(("licence", "licence", "seq"), [(key["column"], key["other_table"], key["other_column"]) for key in keys])
        label = self.metadata["databases"]["ledger"]["tables"]["licence"]["label_column"]
        rows = self.get("/ledger/licence.json?_shape=objects").json()["rows"]
        self.assertEqual(len(rows), 1)
        self.assertTrue(rows[0][label].split("@")[0] in pathlib.Path(LICENCE).read_text(encoding="utf-8"), rows[0][label])

    def test_looking_changes_nothing(self):
        self.get("/ledger/licence")
        self.assertEqual(self.db.read_bytes(), self.before)
        must(LEDGER, "verify", self.db)


if __name__ == "__main__":
    LEDGER, LICENCE, METADATA = sys.argv[1:]
    unittest.main(argv=sys.argv[:1], verbosity=2)
