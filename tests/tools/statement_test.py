#!/usr/bin/env python3
"""The statement of account, counted again from its CSV and from the ledger's tables with Python's integers and fractions alone.

    statement_test.py LEDGER FULL_WORLD
"""
import csv
import datetime
import io
import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from fractions import Fraction

LEDGER, FULL_WORLD = (pathlib.Path(),) * 2


def largest_remainder(total, weights):
    exact = [Fraction(total * weight, sum(weights)) for weight in weights]
    parts = [int(share) for share in exact]
    for i in sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))[: total - sum(parts)]:
        parts[i] += 1
    return parts


class Statement(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.db = pathlib.Path(cls.folder.name) / "full.db"
        subprocess.run([FULL_WORLD, cls.db], check=True)
        cls.today = datetime.datetime.now(datetime.timezone.utc).date()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def ask(self, *words, licensor="example-stock", days=(0, 0), code=0):
        first, last = (str(self.today + datetime.timedelta(day)) for day in days)
        done = subprocess.run([LEDGER, "statement", self.db, "--licensor", licensor, "--from", first, "--to", last, *words], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout

    def lines(self, *words, **options):
        return list(csv.DictReader(io.StringIO(self.ask("--revenue", "USD=1000.01", "--csv", *words, **options))))

    def test_adds_up_and_is_what_the_tables_say(self):
        lines = self.lines()
        of = {kind: [line for line in lines if line["kind"] == kind] for kind in ("exposure", "fee", "run", "clip", "share", "total", "total_of_party")}
        (fee,), (total,) = of["fee"], of["total"]
        pool = (1000_010_000 * 500 + 5000) // 10000
        self.assertEqual(int(fee["amount_micros"]), pool)  # the only licence in the pool
        self.assertEqual(int(total["amount_micros"]), pool)
        for kind in ("run", "clip"):
            weights = [int(line["us"]) for line in of[kind]]
            self.assertEqual([int(line["amount_micros"]) for line in of[kind]], largest_remainder(pool, weights))
            self.assertEqual(sum(weights), int(fee["us"]))
        self.assertEqual([int(line["amount_micros"]) for line in of["share"]], largest_remainder(pool, [9000, 1000]))
        self.assertEqual({line["what"]: int(line["amount_micros"]) for line in of["total_of_party"]},
                         {line["what"]: int(line["amount_micros"]) for line in of["share"]})
        with sqlite3.connect(self.db) as db:
            counted = {}  # without the view that the statement's own query uses
            for sample, passes in db.execute("SELECT sample, passes FROM consumed"):
                counted[sample] = counted.get(sample, 0) + passes
            for shard, position, each in db.execute("SELECT shard, position, each FROM consumed_shard"):
                for i, one in enumerate(json.loads(each)):
                    if one:
                        (sample,) = db.execute("SELECT first FROM sample WHERE shard = ? AND position = ?", (shard, position + i)).fetchone()
                        counted[sample] = counted.get(sample, 0) + one[0]
            exposure = sum(passes * db.execute("SELECT duration_us FROM sample WHERE seq = ?", (sample,)).fetchone()[0]
                           for sample, passes in counted.items())
        self.assertEqual(int(of["exposure"][0]["us"]), exposure)
        self.assertGreater(exposure, 0)

    def test_csv_is_that_of_rfc_4180(self):
        sql = """SELECT 'a,b' AS "one, two", 'c"d' AS q, 'e' || char(10) || 'f' AS n, char(13) AS r, '=1+1' AS formula, -2.5 AS number, NULL AS empty
                 UNION ALL SELECT '', '', '', '', '', 0, 'x'"""
        done = subprocess.run([LEDGER, "query", self.db, "--sql", sql, "--csv"], capture_output=True, check=True)
        self.assertEqual(done.stdout, b'"one, two",q,n,r,formula,number,empty\r\n'
                                      b'"a,b","c""d","e\nf","\'\r",\'=1+1,-2.5,\r\n'
                                      b',,,,,0,x\r\n')

    def test_the_query_on_it_gives_its_clips(self):
        query = json.loads(self.ask("--revenue", "USD=1", "--json"))["query"]
        with sqlite3.connect(self.db) as db:
            rows = db.execute(query).fetchall()
        clips = {line["what"]: (line["passes"], line["us"]) for line in self.lines() if line["kind"] == "clip"}
        self.assertEqual({"sha256:" + clip: (str(passes), str(us)) for _, _, clip, passes, us in rows}, clips)
        self.assertEqual(len(clips), 1)

    def test_days_count_at_both_ends(self):
        for days, there in (((0, 0), True), ((-1, 0), True), ((0, 1), True), ((-9, -1), False), ((1, 9), False)):
            if there:
                self.assertTrue(any(line["kind"] == "run" for line in self.lines(days=days)), days)
            else:
                self.assertFalse(any(line["kind"] == "run" for line in self.lines(days=days)), days)

    def test_a_page_holds_the_signed_note_and_no_script(self):
        page, note, key = (pathlib.Path(self.folder.name) / name for name in ("page.html", "a.statement", "studio"))
        subprocess.run([LEDGER, "key", "new", "studio", "--role", "licensee", "--out", key], check=True, capture_output=True)
        self.ask("--revenue", "USD=1", "--html", page, "--out", note, "--key", f"{key}.key")
        html = page.read_text(encoding="utf-8")
        self.assertIn("\u2014 studio ", html)
        self.assertIn("account {", note.read_text(encoding="utf-8"))
        for word in ("<script", "<img", "http://", "https://", "@import", "<link"):
            self.assertNotIn(word, html)

    def test_bad_words(self):
        self.ask(code=2)  # a share of revenue without revenue
        self.ask("--revenue", "USD=1", "--revenue", "USD=2", code=2)  # which of the two?
        self.ask("--revenue", "USD=1", "--revenue", "JPY=1", code=2)  # nobody shares it
        for revenue in ("USD", "usd=1", "USD=", "USD=1.", "USD=1.1234567", "USD=-1", "US=1", "USD=1e3"):
            self.ask("--revenue", revenue, code=2)
        self.ask(licensor="nobody", code=66)
        self.ask("--revenue", "USD=1", "--key", "nothing", code=2)


if __name__ == "__main__":
    LEDGER, FULL_WORLD = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    unittest.main(argv=sys.argv[:1], verbosity=2)
