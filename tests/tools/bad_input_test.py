#!/usr/bin/env python3
"""Bad input, as a table: what is given, the exit code, the words of the one line that says so, and nothing lost.

    bad_input_test.py LEDGER CURATE

Each row works on its own copy of one small ledger. After each, `ledger verify` must still pass and no record be gone, unless the
row is about the ledger file itself. The odd videos were made by data/make.sh with ffmpeg.
"""
import contextlib
import fcntl
import os
import pathlib
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unittest

LEDGER, CURATE = "", ""
DATA = pathlib.Path(__file__).resolve().parent / "data"

LICENCE = """
licence { id: "TEST-1" version: 1 licensor: "licensor" licensee: "studio"
          valid_from: "2020-01-01" valid_to: "2099-12-31" after_term: KEEP_WEIGHTS }
covers { delivery: "**" }
allows { use: [INGEST, ENCODE, TRAIN, GENERATE_INTERNAL] model: ["*"] component: [GENERATOR, VAE, TEXT_ENCODER] field_of_use: ["*"] compute_territory: ["*"] release_territory: ["*"] }
clearances { talent: NONE_VISIBLE minors: false voice: NONE music: NONE }
"""


class World:
    """A folder with keys, licences and a ledger."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.db = self.folder / "ledger.db"
        self.delivery = self.folder / "delivery"

        self.lock = None

    def unlock(self):
        if self.lock is not None:
            self.lock.close()
            self.lock = None

    def path(self, name):
        return str(self.folder / name)

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def deliver(self, name, content):
        self.write(f"delivery/{name}", content)

    def run(self, *command, before=None, wrap=()):
        return subprocess.run(
            [*wrap, *map(str, command)], capture_output=True, text=True, stdin=subprocess.DEVNULL, preexec_fn=before,
            timeout=120, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})

    def must(self, *command):
        done = self.run(*command)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr}")

    def sign(self, text, out, keys):
        source = self.write(out + ".textproto", text)
        target = self.path(out)
        for position, key in enumerate(keys):
            if position == 0:
                self.must(LEDGER, "sign", source, "--key", self.path(f"{key}.key"), "--out", target)
            else:
                self.must(LEDGER, "sign", target, "--key", self.path(f"{key}.key"))
        return target

    def licence(self, name="licence.licence", keys=("licensor", "studio"), **change):
        text = LICENCE
        for old, new in change.values():
            if old not in text:
                raise AssertionError(f"{old} is not in the licence")
            text = text.replace(old, new)
        return self.sign(text, name, keys)

    def records(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as db:
            return db.execute("SELECT COUNT(*) FROM record WHERE kind <> 'state'").fetchone()[0]

    def source(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return dict(db.execute("SELECT * FROM source").fetchone() or {})


def make_world(folder):
    world = World(folder)
    for name, role in {"licensor": "licensor", "studio": "licensee", "stranger": "licensor", "approver": "approver"}.items():
        world.must(LEDGER, "key", "new", name, "--role", role, "--out", world.path(name))
    world.must(LEDGER, "init", world.db, "--origin", "test.example/ledger")
    world.must(LEDGER, "append", world.db, *(world.path(f"{name}.pub") for name in ("licensor", "studio", "approver")))
    return world


def ingest(world):
    return [CURATE, "ingest", "--ledger", world.db, world.delivery]


def append(world, *files):
    return [LEDGER, "append", world.db, *files]


# Each prepares a world and returns the command that is given bad input; the table below says what it shows.
def not_a_video(world):
    world.must(*append(world, world.licence()))
    world.deliver("letter.mp4", "Dear licensor, the film is attached.\n" * 40)
    return ingest(world)


def zero_bytes(world):
    world.must(*append(world, world.licence()))
    world.deliver("empty.mp4", b"")
    return ingest(world)


def odd(name, share=1.0):
    def prepare(world):
        world.must(*append(world, world.licence()))
        content = (DATA / name).read_bytes()
        world.deliver(name, content[: int(len(content) * share)])
        return ingest(world)

    return prepare


def no_licence(world):
    world.deliver("odd_size.webm", (DATA / "odd_size.webm").read_bytes())
    return ingest(world)


def expired(world):
    world.must(*append(world, world.licence(term=("2099-12-31", "2020-12-31"))))
    world.deliver("odd_size.webm", (DATA / "odd_size.webm").read_bytes())
    return ingest(world)


def unknown_field(world):
    text = LICENCE.replace('covers {', 'territory: "mars"\ncovers {')
    return [LEDGER, "sign", world.write("x.textproto", text), "--key", world.path("licensor.key"), "--out", world.path("x.licence")]


def unknown_field_signed(world):
    """Signed elsewhere, by a program that did not look."""
    good = pathlib.Path(world.licence()).read_text(encoding="utf-8")
    return append(world, world.write("x.licence", good.replace("covers {", 'territory: "mars"\ncovers {', 1)))


def missing_field(world):
    text = LICENCE.replace("minors: false", "")
    return [LEDGER, "sign", world.write("x.textproto", text), "--key", world.path("licensor.key"), "--out", world.path("x.licence")]


def changed_after_signing(world):
    good = pathlib.Path(world.licence()).read_text(encoding="utf-8")
    return append(world, world.write("x.licence", good.replace("2099-12-31", "2199-12-31")))


def wrong_key(world):
    return append(world, world.licence(keys=("stranger", "studio")))


def one_party(world):
    return append(world, world.licence(keys=("licensor",)))


def loose_key(world):
    os.chmod(world.path("approver.key"), 0o644)
    return [LEDGER, "approve", world.db, "--all", "--key", world.path("approver.key")]


def missing_key(world):
    return [LEDGER, "approve", world.db, "--all", "--key", world.path("nobody.key")]


def overwrite_key(world):
    return [LEDGER, "key", "new", "approver", "--role", "approver", "--out", world.path("approver")]


def no_ledger(world):
    return [LEDGER, "verify", world.path("nothing.db")]


def not_a_ledger(world):
    with contextlib.closing(sqlite3.connect(world.path("other.db"))) as db:
        db.execute("CREATE TABLE leaf(x)")
        db.commit()
    return [LEDGER, "log", world.path("other.db")]


def text_as_ledger(world):
    return [LEDGER, "log", world.write("text.db", "no database at all\n" * 100)]


def newer_version(world):
    with contextlib.closing(sqlite3.connect(world.db)) as db:
        db.execute("PRAGMA user_version = 999")
        db.commit()
    return append(world, world.licence())


def rolled_back(world):
    before = world.db.read_bytes()
    world.must(*append(world, world.licence()))
    world.db.write_bytes(before)
    return [LEDGER, "status", world.db]


def bad_bundle(world):
    return append(world, world.write("0" * 64 + ".bundle", b"\x01\x02\x03"))


def ready_licence(world):
    return append(world, world.licence())


# What a shell hands over as $'\\xff'.
BAD_BYTE = "a\udcff"


def odd_name_refused(world):
    good = pathlib.Path(world.licence()).read_text(encoding="utf-8")
    return append(world, world.write(f"{BAD_BYTE}.licence", good.replace("2099-12-31", "2199-12-31")))


def bad_reason(*command):
    def prepare(world):
        world.must(*append(world, world.licence()))
        return [LEDGER, command[0], world.db, *command[1:], BAD_BYTE, "--key", world.path("licensor.key")]

    return prepare


def bad_policy(world):
    log = pathlib.Path(f"{world.db}.pub").read_text(encoding="utf-8").split()[1]
    world.must(LEDGER, "key", "new", "w.example/w", "--role", "witness", "--out", world.path("w"))
    witness = pathlib.Path(world.path("w.pub")).read_text(encoding="utf-8").split()[1]
    policy = f"log {log}\nwitness {BAD_BYTE} {witness}\nquorum {BAD_BYTE}\n"
    return [LEDGER, "witness", "add-policy", world.db, world.write("w.policy", os.fsencode(policy))]


BAD_ESCAPE = LICENCE + 'output { attribution: "a\\377" }\n'


def bad_escape(world):
    return [LEDGER, "sign", world.write("x.textproto", BAD_ESCAPE), "--key", world.path("licensor.key"), "--out", world.path("x.licence")]


def bad_escape_signed(world):
    return append(world, shutil.move(world.sign(BAD_ESCAPE, "x.note", ("licensor", "studio")), world.path("x.licence")))


def junk(kind):
    def prepare(world):
        world.write(f"junk.{kind}.shards", "")
        return append(world, world.write(f"junk.{kind}", "junk\n"))

    return prepare


def against(what):
    return lambda world: [LEDGER, "verify", world.db, "--against", world.path(what)]


def bad_review(world):
    return [LEDGER, "review", world.db, "--take", world.write("junk.review", "junk\n")]


def no_argument(*command):
    return lambda world: [LEDGER, *command]


def no_log_key(*command):
    def prepare(world):
        shutil.copy(f"{world.db}.head", world.path("some.proof"))
        return [LEDGER, *(word.format(folder=world.folder) for word in command), "--trust", world.path("licensor.pub")]

    return prepare


def locked(world):
    world.lock = open(world.path("ledger.db.lock"), "w", encoding="utf-8")
    fcntl.flock(world.lock, fcntl.LOCK_EX)
    return append(world, world.licence())


def full_disk():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


def read_only(world):
    command = ready_licence(world)
    for path in [*world.folder.iterdir(), world.folder]:
        os.chmod(path, path.stat().st_mode & 0o555)
    return command


# As root, file permissions bind only without these two capabilities.
AS_A_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []

# what: (prepare, exit code, words of the line, how the command is run)
REFUSED_OR_FAILED = {
    "a text with the name of a video": (not_a_video, 4, r"letter\.mp4.*(not a video|unreadable|no_video|no video)", {}),
    "a file of zero bytes": (zero_bytes, 4, r"empty\.mp4.*empty", {}),
    "sound only": (odd("sound_only.ogg"), 4, r"sound_only\.ogg.*no.video", {}),
    "a video cut off in its header": (odd("rotated.mp4", 0.3), 4, r"rotated\.mp4", {}),
    "footage without a licence": (no_licence, 3, r"odd_size\.webm.*no_licence", {}),
    "an expired licence": (expired, 3, r"odd_size\.webm.*expired", {}),
    "an unknown field, before signing": (unknown_field, 65, r"x\.textproto:4:\d+: .*territory", {}),
    "an unknown field, signed elsewhere": (unknown_field_signed, 65, r"x\.licence:4:\d+: .*territory", {}),
    "a required field left out": (missing_field, 65, r"x\.textproto.*minors", {}),
    "terms changed after signing": (changed_after_signing, 77, r"x\.licence.*not signed by", {}),
    "a licence signed by a stranger": (wrong_key, 77, r"licence\.licence.*not signed by .*licensor", {}),
    "a licence signed by one party": (one_party, 77, r"licence\.licence.*not signed by .*studio", {}),
    "a key that others may read": (loose_key, 77, r"approver\.key.*chmod 600", {}),
    "a key that is not there": (missing_key, 66, r"nobody\.key", {}),
    "a key that is there already": (overwrite_key, 74, r"approver\.key", {}),
    "a ledger that is not there": (no_ledger, 66, r"nothing\.db", {}),
    "a database that is no ledger": (not_a_ledger, 65, r"other\.db.*not a ledger", {}),
    "a text as ledger": (text_as_ledger, 65, r"text\.db", {}),
    "a ledger rolled back": (rolled_back, 65, r"ledger\.db.*rolled back", {"verify": False}),
    "a ledger of a newer version": (newer_version, 65, r"ledger\.db.*version 999.*newer", {"verify": False}),
    "a bundle that is not what its name says": (bad_bundle, 65, r"bundle", {}),
    "a refused licence whose name is not UTF-8": (odd_name_refused, 77, r"a\?\.licence.*not signed by", {}),
    "a reason to erase that is not UTF-8": (bad_reason("erase", "TEST-1", "--reason"), 2, r"^ledger: erase: --reason: is not UTF-8", {}),
    "a reason to revoke that is not UTF-8": (bad_reason("revoke", "TEST-1", "--reason"), 2, r"^ledger: revoke: --reason: is not UTF-8", {}),
    "a comment that is not UTF-8": (bad_reason("approve", "--all", "--comment"), 2, r"^ledger: approve: --comment: is not UTF-8", {}),
    "a reason of a deletion that is not UTF-8": (bad_reason("deleted", "x", "--reason"), 2, r"^ledger: deleted: --reason: is not UTF-8", {}),
    "a policy that is not UTF-8": (bad_policy, 65, r"w\.policy: is not UTF-8", {}),
    "an escape that is not UTF-8": (bad_escape, 65, r"x\.textproto: output\.attribution is not UTF-8", {}),
    "an escape that is not UTF-8, signed elsewhere": (bad_escape_signed, 65, r"x\.licence: output\.attribution is not UTF-8", {}),
    **{f"a .{kind} that is no note": (junk(kind), 65, rf"^ledger: \S*junk\.{kind}: .*no blank line before the signatures \[{kind}_invalid\]$", {})
       for kind in ("licence", "policy", "revocation", "permit", "retirement")},
    "an .approval that is no note": (junk("approval"), 65, r"^ledger: \S*junk\.approval: .*no blank line", {}),
    "a .pub that is no key": (junk("pub"), 65, r"^ledger: \S*junk\.pub:1: expected a role", {}),
    "a review that is no note": (bad_review, 65, r"^ledger: \S*junk\.review: no blank line", {}),
    "a public key in place of a head": (against("licensor.pub"), 65, r"^ledger: \S*licensor\.pub: .*no blank line", {}),
    "no argument": (no_argument("append"), 2, r"^ledger: append: LEDGER is required \(ledger append --help\)$", {}),
    "no argument, deeper": (no_argument("witness", "ask"), 2, r"^ledger: witness ask: LEDGER is required \(ledger witness ask --help\)$", {}),
    "no command": (no_argument(), 2, r"^ledger: A subcommand is required \(ledger --help\)$", {}),
    "an unknown flag": (no_argument("append", "x", "y", "--zz"), 2, r"^ledger: append: .*--zz", {}),
    "no key of a log to trust, proven": (no_log_key("proven", "{folder}/some.proof"), 65, r"licensor\.pub: holds no line \"log VKEY\"", {}),
    "no key of a log to trust, follow": (no_log_key("follow", "{folder}", "--state", "{folder}/state"), 65,
                                         r"licensor\.pub: holds no line \"log VKEY\"", {}),
    "a ledger that another process writes": (locked, 75, r"ledger\.db.*lock", {}),
    "a full disk": (ready_licence, 74, r"ledger\.db", {"before": full_disk}),
    "a folder that is read-only": (read_only, 77, r"ledger\.db", {"wrap": AS_A_USER}),
}

# what: (prepare, what the ledger then says of the source)
TAKEN = {
    # 65 x 47 pixels of 63:65, as ffprobe says too.
    "odd sizes": (odd("odd_size.webm"), {"width": 63, "height": 47, "frames": 24, "variable_frame_rate": 0, "problem": ""}),
    "10 bits a channel": (odd("ten_bit.webm"), {"width": 96, "height": 64, "frames": 24, "problem": ""}),
    "rotated": (odd("rotated.mp4"), {"width": 64, "height": 96, "frames": 24, "problem": ""}),
    "variable frame rate": (odd("variable_rate.webm"), {"frames": 20, "variable_frame_rate": 1, "problem": ""}),
}


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.TemporaryDirectory()
        cls.base = pathlib.Path(cls.top.name) / "base"
        cls.base.mkdir()
        make_world(cls.base)

    @classmethod
    def tearDownClass(cls):
        cls.top.cleanup()

    @contextlib.contextmanager
    def world(self):
        with tempfile.TemporaryDirectory(dir=self.top.name) as folder:
            target = pathlib.Path(folder) / "w"
            shutil.copytree(self.base, target)
            world = World(target)
            yield world
            world.unlock()
            for path in [target, *target.rglob("*")]:
                os.chmod(path, 0o700)

    def test_each_is_one_clear_line_and_nothing_is_lost(self):
        for what, (prepare, code, words, how) in REFUSED_OR_FAILED.items():
            with self.subTest(what), self.world() as world:
                command = prepare(world)
                records = world.records()
                how = dict(how)
                verify = how.pop("verify", True)
                done = world.run(*command, **how)
                said = (done.stdout + done.stderr).strip()
                self.assertEqual(done.returncode, code, said)
                lines = [line for line in said.splitlines() if re.search(words, line)]
                self.assertEqual(len(lines), 1, f"{words!r} is not in exactly one line of:\n{said}")
                if command[0] == LEDGER:
                    self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
                self.assertGreaterEqual(world.records(), records)
                if verify:
                    world.must(LEDGER, "verify", world.db)

    def test_a_refused_name_is_on_the_record_as_text(self):
        with self.world() as world:
            self.assertEqual(world.run(*odd_name_refused(world)).returncode, 77)
            with contextlib.closing(sqlite3.connect(world.db)) as db:
                subject, = db.execute("SELECT subject FROM refusal").fetchone()
            self.assertRegex(subject, r"/a\?\.licence sha256:[0-9a-f]{64}$")
            world.must(LEDGER, "status", world.db)
            world.must(*append(world, world.licence()))

    def test_what_is_refused_is_on_the_record(self):
        for what in ("a text with the name of a video", "a file of zero bytes", "sound only", "footage without a licence",
                     "an expired licence"):
            with self.subTest(what), self.world() as world:
                world.run(*REFUSED_OR_FAILED[what][0](world))
                with contextlib.closing(sqlite3.connect(world.db)) as db:
                    rows = db.execute("SELECT subject, rule, fact FROM refusal").fetchall()
                self.assertEqual(len(rows), 1, rows)
                self.assertTrue(all(rows[0]), rows)

    def test_after_the_cause_is_gone_it_goes_through(self):
        for what in ("a full disk", "a ledger that another process writes", "a folder that is read-only"):
            with self.subTest(what), self.world() as world:
                prepare, code, _, how = REFUSED_OR_FAILED[what]
                command = prepare(world)
                self.assertEqual(world.run(*command, **how).returncode, code)
                world.unlock()
                for path in [world.folder, *world.folder.iterdir()]:
                    os.chmod(path, path.stat().st_mode | 0o200)
                world.must(*command)
                world.must(LEDGER, "verify", world.db)

    def test_odd_but_valid_footage_is_taken(self):
        for what, (prepare, expected) in TAKEN.items():
            with self.subTest(what), self.world() as world:
                world.must(*prepare(world))
                source = world.source()
                self.assertEqual({name: source.get(name) for name in expected}, expected)
                world.must(LEDGER, "verify", world.db)

    def test_the_good_part_of_a_truncated_file_is_kept(self):
        with self.world() as world:
            done = world.run(*odd("ten_bit.webm", 0.6)(world))
            self.assertIn(done.returncode, (0, 4), done.stderr)
            source = world.source()
            self.assertGreater(source["frames"], 0)
            self.assertLess(source["frames"], 24)
            self.assertTrue(source["problem"], "the ledger does not say that the file is cut off")

    def test_without_its_other_half_curate_says_what_is_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            alone = shutil.copy(CURATE, folder)
            (pathlib.Path(folder) / "delivery").mkdir()
            shutil.copy(DATA / "odd_size.webm", pathlib.Path(folder) / "delivery")
            for command in (["decode", "--help"], ["look", f"{folder}/delivery"]):
                done = subprocess.run([alone, *command], capture_output=True, text=True, check=False, timeout=60)
                self.assertEqual(done.returncode, 74, done.stderr)
                self.assertRegex(done.stderr, r"^[^\n]*curate-media: is not there; copy it[^\n]*\n$")

    def test_output_that_cannot_be_written_is_no_success(self):
        with self.world() as world:
            world.must(*append(world, world.licence()))
            world.deliver("odd_size.webm", (DATA / "odd_size.webm").read_bytes())
            world.must(*ingest(world))
            for command in ([LEDGER, "status", world.db], [LEDGER, "verify", world.db], [LEDGER, "--help"],
                            [LEDGER, "query", world.db, "--sql", "SELECT * FROM record", "--csv"],
                            [LEDGER, "licence", "check", world.path("licence.licence")], [CURATE, "--help"],
                            [CURATE, "status", "--ledger", world.db], ingest(world)):
                with open("/dev/full", "wb") as full:
                    done = subprocess.run([*map(str, command)], stdout=full, stderr=subprocess.PIPE, text=True,
                                          check=False, timeout=60)
                self.assertEqual(done.returncode, 74, f"{command}\n{done.stderr}")
                self.assertRegex(done.stderr, r"(?m)^(ledger|curate): stdout: ")

    def test_many_writers_at_once_lose_nothing(self):
        with self.world() as world:
            licences = [world.licence(f"{n}.licence", id=('"TEST-1"', f'"TEST-{n}"')) for n in range(6)]
            before = world.records()
            waiting = licences
            for _ in range(60):
                running = [(path, subprocess.Popen([LEDGER, "append", world.db, path], stderr=subprocess.DEVNULL,
                                                   stdout=subprocess.DEVNULL)) for path in waiting]
                codes = {path: process.wait(timeout=60) for path, process in running}
                self.assertLessEqual(set(codes.values()), {0, 75})
                waiting = [path for path, code in codes.items() if code == 75]
                if not waiting:
                    break
            self.assertEqual(waiting, [])
            self.assertEqual(world.records(), before + len(licences))
            world.must(LEDGER, "verify", world.db)


if __name__ == "__main__":
    LEDGER, CURATE = sys.argv[1:]
    unittest.main(argv=sys.argv[:1], verbosity=2)
