#!/usr/bin/env python3
"""What `curate fingerprint`, `match`, `duplicates` and `protect` print, the exit codes, and files that are none.

    match_test.py LEDGER CURATE
"""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

import bad_input_test as base

DATA = pathlib.Path(__file__).resolve().parent / "data"
FILM = "variable_rate.webm"
ODD = "a 'quoted'\n\x1b[31mname.webm"


class Match(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.world = base.make_world(self.folder.name)
        self.world.must(*base.append(self.world, self.world.licence()))
        self.world.deliver(FILM, (DATA / FILM).read_bytes())
        self.done = self.run_curate("ingest", "--ledger", self.world.db, self.world.delivery)
        self.film = self.world.delivery / FILM

    def run_curate(self, *arguments):
        return self.world.run(base.CURATE, *arguments)

    def expect(self, code, words, *arguments):
        done = self.run_curate(*arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(words, done.stdout + done.stderr)
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        return done

    def test_match_says_which_and_exits_1(self):
        # The same test picture with ten bits a channel; turned, less than a second of it agrees, for want of frames.
        said = self.expect(1, f"of {FILM}, distance", "match", "--ledger", self.world.db, DATA / "ten_bit.webm")
        self.assertIn("licensed by licensor under TEST-1@1", said.stdout)
        self.expect(0, "no match", "match", "--ledger", self.world.db, DATA / "rotated.mp4")
        self.expect(2, "--ledger or --against", "match", self.film)
        self.expect(66, "nothing.webm", "match", "--ledger", self.world.db, self.world.path("nothing.webm"))
        self.expect(66, "nothing.db", "match", "--ledger", self.world.path("nothing.db"), self.film)

    def test_what_is_compared_with_is_never_taken_for_what_is_asked_about(self):
        other = DATA / "rotated.mp4"
        for words in ((self.film, "--against", other, other), (self.film, "--against", other, "--json", other),
                      (self.film, "--against", other, "--against", other, other)):
            self.expect(2, "write --against before each", "match", *words)
        for words in ((self.film, "--against", other), ("--against", other, self.film), ("--against", other, self.film, self.film),
                      (self.film, "--against", other, "--against", other), ("--against", other, "--against", other, "--", self.film),
                      (self.film, "--ledger", self.world.db, "--against", other)):
            self.expect(1 if "--ledger" in words else 0, "match", "match", *words)

    def test_a_print_takes_no_other_s_place(self):
        out = self.world.path("prints")
        first, other = (self.world.write(f"{folder}/reel.webm", (DATA / film).read_bytes()) for folder, film in (("x", FILM), ("y", "ten_bit.webm")))
        said = self.expect(2, "reel.webm.print", "fingerprint", first, other, "--out", out)
        self.assertIn(str(first), said.stderr)
        self.assertIn(str(other), said.stderr)
        self.assertFalse(pathlib.Path(out).exists())
        self.expect(0, ".print", "fingerprint", first, first, "--out", out)
        before = (pathlib.Path(out) / "reel.webm.print").read_bytes()
        self.expect(2, "is not the fingerprint of", "fingerprint", other, "--out", out)
        self.assertEqual((pathlib.Path(out) / "reel.webm.print").read_bytes(), before)
        self.expect(0, ".print", "fingerprint", first, "--out", out)

    def test_a_print_finds_its_film_and_odd_names_are_harmless(self):
        odd = self.world.write(ODD, (DATA / FILM).read_bytes())
        out = self.world.path("prints")
        self.expect(0, ".print", "fingerprint", odd, "--out", out)
        prints = list(pathlib.Path(out).iterdir())
        self.assertEqual(len(prints), 1)
        self.expect(4, "protected", "protect", "add", "--ledger", self.world.db, prints[0])
        self.expect(0, "already", "protect", "add", "--ledger", self.world.db, prints[0])
        listed = json.loads(self.expect(0, "", "protect", "list", "--ledger", self.world.db, "--json").stdout)
        self.assertEqual(set(listed), {"name", "digest", "fingerprint", "frames"})
        for asked in (self.film, prints[0]):
            with self.subTest(asked):
                found = self.expect(1, "", "match", "--ledger", self.world.db, asked, "--json")
                lines = [json.loads(line) for line in found.stdout.splitlines()]
                self.assertEqual({(line["of"], line["protected"]) for line in lines}, {(FILM, False), (listed["name"], True)})
                self.assertEqual(len(lines), 2)
                for line in lines:
                    self.assertLessEqual({"file", "of", "protected", "start_us", "end_us", "of_start_us", "of_end_us", "speed",
                                          "distance", "audio_match", "weight", "how"}, set(line))

    def test_names_that_are_no_text_or_too_long_are_told(self):
        odd = os.fsencode(self.world.folder) + b"/bad\xff.webm"
        shutil.copy(self.film, odd)
        line = self.expect(1, "", "match", "--ledger", self.world.db, os.fsdecode(odd), "--json").stdout
        self.assertTrue(json.loads(line)["file"].endswith("bad%FF.webm"), line)
        long = self.world.write("x" * 250 + ".webm", (DATA / FILM).read_bytes())
        out = pathlib.Path(self.world.path("prints"))
        self.expect(2, "give it a shorter one", "fingerprint", self.film, long, "--out", out)
        self.assertFalse(out.exists())
        self.expect(1, f"of {FILM}, distance", "match", "--ledger", self.world.db, long)
        self.expect(74, "File name too long", "ingest", "--ledger", self.world.db, self.world.path("x" * 300))

    def test_a_match_is_not_hidden_by_a_file_that_cannot_be_read(self):
        bad = self.world.write("letter.mp4", "no film")
        for files in ((self.film, bad), (bad, self.film)):
            self.expect(1, f"of {FILM}, distance", "match", "--ledger", self.world.db, *files)
            self.expect(1, "match", "match", "--against", self.film, *files)
        self.expect(4, "no match", "match", "--ledger", self.world.db, DATA / "rotated.mp4", bad)
        delivery = self.world.folder / "offer"
        delivery.mkdir()
        shutil.copy(bad, delivery / "a.mp4")
        self.expect(4, "failed", "look", "--ledger", self.world.db, delivery)
        shutil.copy(self.film, delivery / "b.webm")
        self.expect(1, "pictures look like", "look", "--ledger", self.world.db, delivery)

    def test_protecting_what_is_there_says_so(self):
        shards = ("shard", "--ledger", self.world.db, "--delivery", self.world.delivery, "--out", self.world.path("shards"))
        made = self.expect(0, "made", *shards)
        root = re.search(r"root ([0-9a-f]{16})", made.stdout).group(1)
        self.expect(0, "no match", "match", "--ledger", self.world.db, DATA / "rotated.mp4")
        self.expect(0, "protected", "protect", "add", "--ledger", self.world.db, DATA / "rotated.mp4")
        back = f"nano-000000.tar: ledger revoke {self.world.db} {root} --reason"
        said = self.expect(4, back, "protect", "add", "--ledger", self.world.db, self.film)
        self.assertIn(f"protected {FILM}: 0:00.00 to", said.stdout)
        self.expect(1, back, "protect", "check", "--ledger", self.world.db)
        line = json.loads(self.expect(1, "", "protect", "check", "--ledger", self.world.db, "--json").stdout)
        self.assertIn(back, line["shards"][0])
        self.expect(4, back, *shards)
        key = self.world.path("approver.key")
        self.world.must(base.LEDGER, "revoke", self.world.db, root, "--reason", "shows a protected work", "--key", key)
        self.assertNotIn("ledger revoke", self.expect(1, f"protected {FILM}", "protect", "check", "--ledger", self.world.db).stdout)
        self.expect(0, "present", *shards)

    def test_what_is_protected_is_on_record_and_so_is_its_end(self):
        works = pathlib.Path(f"{self.world.db}.protected")
        protect = lambda command, *what: (*("protect", command, "--ledger", self.world.db), *what)
        self.expect(4, "protected", *protect("add", self.film))
        record = self.history(FILM)
        self.assertIn("is protected", record[-1])
        kept = next(works.iterdir())
        bytes_ = kept.read_bytes()
        kept.unlink()
        for command in (protect("list"), protect("check"), ("match", "--ledger", self.world.db, self.film), ("status", "--ledger", self.world.db),
                        ("look", "--ledger", self.world.db, self.world.delivery), ("ingest", "--ledger", self.world.db, self.world.delivery),
                        ("shard", "--ledger", self.world.db, "--delivery", self.world.delivery, "--out", self.world.path("shards"))):
            with self.subTest(command[:2]):
                said = self.expect(65, f"{kept}: is gone", *command).stderr
                self.assertIn(f"protects {FILM}: put the file back, or end the protection with curate protect remove --ledger {self.world.db} {kept.stem[:16]}",
                              said)
                self.assertEqual(len(said.strip().splitlines()), 1, said)
        # Whoever signs for footage on this machine is told; nothing that the ledger decides by is missing.
        approve = (base.LEDGER, "approve", self.world.db, "--all", "--key", self.world.path("approver.key"))
        config = pathlib.Path(__file__).resolve().parents[2] / "configs" / "nano.textproto"
        permit = (base.LEDGER, "permit", self.world.db, "--run", config, "--key", self.world.path("approver.key"), "--out", self.world.path("run.permit"))
        for command, code in ((approve, 0), ((*approve, "--dry-run"), 0), (permit, 3)):
            said = self.world.run(*command)
            self.assertEqual(said.returncode, code, said.stderr)
            self.assertIn(f"warning: {kept}: is gone, and by record", said.stderr)
        self.assertIn(f"protects {FILM}", json.loads(self.world.run(*approve, "--json").stdout)["missing_work"])
        kept.write_bytes(bytes_)
        self.expect(1, "protected", *protect("check"))
        self.assertNotIn("warning", self.world.run(*approve).stderr)
        kept.unlink()
        self.expect(66, "no work nobody", *protect("remove", "nobody"))
        removed = json.loads(self.expect(0, "", *protect("remove", FILM, "--json")).stdout)
        self.assertEqual((removed["name"], removed["fingerprint"]), (FILM, kept.stem))
        self.assertIn("is no longer protected", self.history(FILM)[-1])
        self.expect(0, "", *protect("check"))
        self.expect(66, f"no work {FILM}", *protect("remove", FILM))
        self.world.must(base.LEDGER, "verify", self.world.db)

    def count(self, table):
        with contextlib.closing(sqlite3.connect(f"file:{self.world.db}?mode=ro", uri=True)) as db:
            return db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]

    def history(self, work):
        """What the ledger says of the newest record about a work, oldest first."""
        done = self.world.run(base.LEDGER, "query", self.world.db, "--sql",
                              f"SELECT fingerprint FROM protection WHERE name = '{work}' ORDER BY seq DESC LIMIT 1", "--csv")
        print_ = done.stdout.split()[-1]
        told = self.world.run(base.LEDGER, "history", self.world.db, print_)
        self.assertEqual(told.returncode, 0, told.stderr)
        return told.stdout.splitlines()

    # Whoever holds the ledger puts the work on record; it is asked at once.
    def test_protecting_while_another_command_holds_the_ledger(self):
        with open(f"{self.world.db}.lock", "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            said = self.expect(4, "is being written to: the work is protected from now on", "protect", "add", "--ledger", self.world.db, self.film)
            self.assertIn("curate ingest", said.stdout)
            self.expect(1, "protected", "protect", "check", "--ledger", self.world.db)
            self.expect(75, "lock", "protect", "remove", "--ledger", self.world.db, FILM)
        self.assertEqual(self.count("protection"), 0)
        self.expect(0, "already", "ingest", "--ledger", self.world.db, self.world.delivery)
        self.assertEqual(self.count("protection"), 1)

    def test_killed_anywhere_a_work_is_protected_or_not(self):
        works = pathlib.Path(f"{self.world.db}.protected")
        self.expect(0, "print", "fingerprint", self.film, "--out", self.folder.name)
        print_ = self.world.path(FILM + ".print")
        for command, what in (("add", print_), ("remove", FILM)) * 6:
            delay = 0.004 * 1.25 ** self.kills
            self.kills += 1
            with subprocess.Popen([base.CURATE, "protect", command, "--ledger", self.world.db, what],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
                time.sleep(delay)
                running.kill()
            listed = self.expect(0, "", "protect", "list", "--ledger", self.world.db).stdout.splitlines()
            self.assertEqual(len(listed), len(list(works.glob("*.print"))) if works.exists() else 0)
            self.world.run(base.CURATE, "ingest", "--ledger", self.world.db, self.world.delivery)
            self.assertEqual(self.count("protected_work"), len(listed))
        self.world.must(base.LEDGER, "verify", self.world.db)

    kills = 0

    def world_of_two(self):
        folder = self.world.folder / "two"
        folder.mkdir()
        world = base.make_world(folder)
        one = world.licence("one.licence", covers=('delivery: "**"', 'delivery: "one/**"'))
        two = world.licence("two.licence", ("stranger", "studio"), covers=('delivery: "**"', 'delivery: "two/**"'),
                            id=('id: "TEST-1"', 'id: "TEST-2"'), licensor=('licensor: "licensor"', 'licensor: "stranger"'))
        world.must(*base.append(world, world.path("stranger.pub"), one, two))
        return world

    def test_a_conflict_is_on_record_however_many_files_and_names_it_has(self):
        world = self.world_of_two()
        film = (DATA / FILM).read_bytes()
        folder = "one/" + "/".join(["x" * 240] * 15)
        for i in range(18):  # their names alone are more than a record may have
            world.deliver(f"{folder}/{i:02}.webm", film + b"\xec\x82" + bytes([65, 65 + i]))  # an empty element at the end
        world.deliver("two/b.webm", film)
        done = world.run(*base.ingest(world))
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("1 in conflict, 0 refused, 0 failed", done.stdout)
        self.assertIn("and 15 more", done.stdout)
        with contextlib.closing(sqlite3.connect(f"file:{world.db}?mode=ro", uri=True)) as db:
            self.assertEqual(db.execute("SELECT COUNT(*) FROM duplicate WHERE verdict = 'conflict'").fetchone()[0], 18)
        world.must(base.LEDGER, "verify", world.db)

    def test_a_claim_of_two_licensors_ends_ingest_with_4(self):
        world = self.world_of_two()
        for name in ("one/a.webm", "two/b.webm"):
            world.deliver(name, (DATA / FILM).read_bytes())
        done = world.run(*base.ingest(world))
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        self.assertIn("1 in conflict, 0 refused, 0 failed", done.stdout)
        done = world.run(*base.ingest(world))
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"(?m)^conflict +one/a\.webm: its bytes are in the ledger; two licensors claim it, both sides are quarantined")
        self.assertIn("2 in conflict, 0 refused, 0 failed", done.stdout)
        self.counts_of_the_report(world)

    def counts_of_the_report(self, world):
        """What a lawyer reads is what `status` counts: quarantined clips are not kept, whatever they were at first."""
        world.must(base.LEDGER, "revoke", world.db, "TEST-2", "--reason", "sold", "--key", world.path("stranger.key"))
        (world.folder / "secret.webm").write_bytes((DATA / "rotated.mp4").read_bytes())
        world.must(base.CURATE, "protect", "add", "--ledger", world.db, world.folder / "secret.webm")
        world.must(base.CURATE, "report", "--ledger", world.db, "--out", world.path("report.html"))
        page = (world.folder / "report.html").read_text(encoding="utf-8")
        clips = json.loads(world.run(base.CURATE, "status", "--ledger", world.db, "--json").stdout)["clips"]
        self.assertGreater(clips["conflict"], 0)

        def bars(title):
            figure = re.search(rf"<figcaption>{title}</figcaption>(.*?)</figure>", page, re.DOTALL)[1]
            texts = re.findall(r"<text[^>]*>([^<]*)</text>", figure)
            return {label: int(count) for label, count in zip(texts[::2], texts[1::2])}

        self.assertEqual(bars("Clips, by verdict"), clips)
        self.assertEqual(sum(bars("Clips kept, by length").values()), clips.get("kept", 0))
        self.assertRegex(page, r"<td>one/a.webm</td><td class=no>conflict</td><td class=n>0 of 1</td>")
        claim = "two/b.webm: two licensors deliver the same bytes: stranger under TEST-2@1 here, licensor under TEST-1@1 as one/a.webm"
        self.assertIn(f"<p>{claim}</p>", page)
        self.assertIn(f"  claim     {claim}\n", world.run(base.CURATE, "duplicates", "--ledger", world.db).stdout)
        self.assertRegex(page, r"<td>TEST-1@1</td>.*<td class=w>in force</td>")
        self.assertRegex(page, r"<td>TEST-2@1</td>.*<td class=w>revoked 20\d\d-\d\d-\d\d</td>")
        self.assertRegex(page, r"Protected works</h2>[^$]*<td>secret\.webm</td>")
        self.assertNotRegex(page, r"<td>[^<]*sha256:")
        self.assertNotIn("@media (max-width", page)  # paper does not scroll: no column may lie beside it

    def test_a_copy_by_a_path_that_no_licence_covers_claims_nothing(self):
        folder = self.world.folder / "none"
        folder.mkdir()
        world = base.make_world(folder)
        world.must(*base.append(world, world.licence(covers=('delivery: "**"', 'delivery: "one/**"'))))
        for name in ("else/a.webm", "one/a.webm"):
            world.deliver(name, (DATA / FILM).read_bytes())
        for _ in range(2):  # the second time the bytes are on record
            done = world.run(*base.ingest(world))
            self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
            self.assertRegex(done.stdout, r"(?m)^refused +else/a\.webm: no_licence: no licence in the ledger covers it$")
        self.assertEqual(world.run(base.CURATE, "duplicates", "--ledger", world.db).returncode, 0)

    def test_protecting_beside_no_ledger_is_an_error(self):
        self.expect(66, "typo.db", "protect", "add", "--ledger", self.world.path("typo.db"), self.film)
        self.expect(66, "typo.db", "protect", "list", "--ledger", self.world.path("typo.db"))
        self.assertFalse(pathlib.Path(self.world.path("typo.db.protected")).exists())

    def test_damaged_prints_are_never_no_match(self):
        self.world.must(base.CURATE, "fingerprint", self.film, "--out", self.folder.name)
        good = pathlib.Path(self.world.path(FILM + ".print")).read_bytes()
        head = b"cleared fingerprint 2\n"
        for what, content in {"cut": good[:-1], "flipped": good[:99] + bytes([good[99] ^ 1]) + good[100:],
                              "only a head": head, "no body": head + bytes(32)}.items():
            with self.subTest(what):
                path = self.world.write("bad.print", content)
                self.expect(65, "bad.print", "match", "--ledger", self.world.db, path)
                self.expect(65, "bad.print", "match", "--against", path, self.film)
                self.expect(65, "bad.print", "protect", "add", "--ledger", self.world.db, path)

    def test_pipes_and_folders_do_not_hang(self):
        pipe = self.world.path("pipe")
        os.mkfifo(pipe)
        self.expect(65, "not a plain file", "match", "--ledger", self.world.db, pipe)
        self.expect(65, "not a plain file", "match", "--against", pipe, self.film)
        self.expect(65, "not a plain file", "fingerprint", self.folder.name)
        works = pathlib.Path(f"{self.world.db}.protected")
        works.mkdir()
        os.mkfifo(works / "x.print")
        self.expect(65, "not a plain file", "match", "--ledger", self.world.db, self.film)
        self.expect(65, "not a plain file", "ingest", "--ledger", self.world.db, self.world.delivery)

    def test_an_index_of_odd_files_costs_a_line(self):
        index = pathlib.Path(f"{self.world.db}.index")
        looks = list(index.glob("*.looks"))
        self.assertEqual(len(looks), 1, self.done.stdout + self.done.stderr)
        looks[0].unlink()
        self.expect(0, "sources_without_looks", "match", "--ledger", self.world.db, DATA / "rotated.mp4")
        os.mkfifo(looks[0])
        self.expect(0, "damaged", "match", "--ledger", self.world.db, DATA / "rotated.mp4")
        shutil.rmtree(index)
        self.expect(0, "sources_without_looks", "match", "--ledger", self.world.db, DATA / "rotated.mp4")

    def test_duplicates_of_none(self):
        self.expect(0, "", "duplicates", "--ledger", self.world.db)
        self.expect(2, "best, oldest or licence", "duplicates", "--ledger", self.world.db, "--keep", "newest")
        self.expect(66, "nothing.db", "duplicates", "--ledger", self.world.path("nothing.db"))


if __name__ == "__main__":
    base.LEDGER, base.CURATE = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
