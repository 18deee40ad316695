#!/usr/bin/env python3
"""What is owed, and what has to go, where something is missing: terms that were erased, a title that people decided, a tree head that is
not signed yet.

    money_test.py LEDGER CURATE CONFIG SHARD_CONFIG
"""
import contextlib
import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import bad_input_test as world_of

CONFIG, SHARD_CONFIG = "", ""
ONE, OTHER = ((world_of.DATA / f"{name}.webm").read_bytes() for name in ("ten_bit", "variable_rate"))  # the same pictures
BEFORE = "\nclearances"


def paid(*lines):
    return BEFORE, "".join(f'\npay {{ basis: {basis} currency: "EUR" rate_micros: {rate} }}' for basis, rate in lines) + BEFORE


class Money(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.world = world_of.make_world(folder.name)
        self.ledger("key", "new", "trainer", "--role", "trainer", "--out", self.world.path("trainer"), on_ledger=False)
        self.ledger("append", self.world.path("trainer.pub"), self.world.path("stranger.pub"))

    def ledger(self, command, *words, code=0, on_ledger=True):
        done = self.world.run(world_of.LEDGER, command, *([self.world.db] if on_ledger else []), *words)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def curate(self, command, *words, code=0):
        done = self.world.run(world_of.CURATE, command, "--ledger", self.world.db, *words)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def pack(self):
        self.curate("shard", "--delivery", self.world.delivery, "--config", SHARD_CONFIG, "--out", self.world.path("shards"))

    def consume(self, *words):
        """Approved, permitted, and a run that nobody trained."""
        self.ledger("approve", "--all", "--key", self.world.path("approver.key"))
        self.ledger("permit", "--run", CONFIG, "--key", self.world.path("approver.key"), "--out", self.world.path("run.permit"))
        subprocess.run([sys.executable, pathlib.Path(__file__).with_name("made_up_run.py"), self.world.db, self.world.path("run.permit"),
                        self.world.path("trainer.key"), self.world.path("outbox"), *words], check=True, capture_output=True)

    def bundles(self):
        return sorted(map(str, pathlib.Path(self.world.path("outbox")).glob("*.bundle")))

    def statement(self, licensor="licensor", code=0):
        return self.ledger("statement", "--licensor", licensor, "--from", "2020-01-01", "--to", "2099-12-31", "--json", code=code)

    def test_a_fixed_fee_is_not_forgotten_with_its_terms(self):
        self.ledger("append", self.world.licence(pay=paid(("FIXED", 1000_000_000))))
        self.assertIn('"amount_micros":1000000000', self.statement().stdout.replace(" ", ""))
        self.ledger("erase", "TEST-1@1", "--reason", "asked for")
        self.assertIn("the document of TEST-1@1 was erased", self.statement(code=66).stderr)

    def test_what_is_under_erased_terms_is_due(self):
        self.ledger("append", self.world.licence(derived=(BEFORE, "\nderived { latent { delete_after_days: 30 } caption: TERM fingerprint: TERM }" + BEFORE)))
        self.world.deliver("film.webm", ONE)
        self.world.deliver("film.txt", "A film.")
        self.curate("ingest", self.world.delivery)
        self.pack()

        def due():
            rows = json.loads(self.ledger("due", "--json").stdout)
            return sorted((row["what"], row["licence"]) for row in (rows["rows"] if isinstance(rows, dict) else rows))
        before = due()
        self.assertEqual([what for what, _ in before], ["caption", "fingerprint", "shard"])
        self.ledger("erase", "TEST-1@1", "--reason", "asked for")
        self.assertEqual(due(), before)

    def test_footage_whose_title_was_released_is_paid_for(self):
        of_a = self.world.licence("a.licence", where=('"**"', '"a/**"'))
        of_b = self.world.licence("b.licence", ("stranger", "studio"), id=("TEST-1", "TEST-2"), who=('licensor: "licensor"', 'licensor: "stranger"'),
                                  where=('"**"', '"b/**"'), pay=paid(("PER_MINUTE_INGESTED", 60_000_000), ("PER_SAMPLE_SECOND", 1_000_000)))
        self.ledger("append", of_a, of_b)
        self.world.deliver("a/film.webm", ONE)
        self.curate("ingest", self.world.delivery)
        self.world.deliver("b/film.webm", OTHER)
        self.curate("ingest", self.world.delivery, code=4)
        # A conflict by its look is a refusal on record, as one by its bytes is.
        self.assertRegex(self.ledger("why-not", "b/film.webm").stdout, "was refused by rule conflict, because .*two licensors claim it")
        self.ledger("review", "--form", self.world.path("title.txt"), "--title", "b/film.webm")
        self.ledger("sign", self.world.path("title.txt"), "--key", self.world.path("approver.key"), "--out", self.world.path("title.review"), on_ledger=False)
        self.ledger("review", "--take", self.world.path("title.review"))
        self.pack()
        self.consume()
        self.ledger("append", *self.bundles())
        with contextlib.closing(sqlite3.connect(self.world.db)) as db:
            ingested, = db.execute("SELECT duration_us FROM source WHERE path = 'b/film.webm'").fetchone()
        fees = {line["basis"]: line["amount_micros"] for line in json.loads(self.statement("stranger").stdout)["lines"] if line["kind"] == "fee"}
        self.assertEqual(fees["PER_MINUTE_INGESTED"], ingested)  # a euro a second
        self.assertGreater(fees["PER_SAMPLE_SECOND"], 0)

    def test_a_statement_counts_nothing_beyond_its_tree_head(self):
        self.ledger("append", self.world.licence(pay=paid(("PER_SAMPLE_SECOND", 1_000_000))))
        self.world.deliver("film.webm", ONE)
        self.curate("ingest", self.world.delivery)
        self.pack()
        self.consume()
        key = pathlib.Path(f"{self.world.db}.key")
        kept = key.rename(self.world.path("kept.key"))
        self.ledger("append", *self.bundles())
        self.assertIn("counts and is under no signed tree head yet; run ledger sign-head", self.statement(code=66).stderr)
        kept.rename(key)
        self.ledger("sign-head")
        self.statement()


if __name__ == "__main__":
    world_of.LEDGER, world_of.CURATE, CONFIG, SHARD_CONFIG = sys.argv[1:5]
    unittest.main(argv=sys.argv[:1])
