#!/usr/bin/env python3
"""Marks that other programs wrote, read by ours: C2PA manifests signed with the API of PyPI's c2pa-python, XMP written by Debian's
exiftool. Each file goes through `curate ingest`; what it is refused for, and what the ledger keeps of its marks, is a table.

    marks_test.py LEDGER CURATE
    marks_test.py --samples FOLDER      make reserved.mp4 and broken.mp4 of FOLDER/rotated.mp4 anew

The certificates are made here with PyPI's cryptography and trusted by nobody. Skips (77) without c2pa-python or exiftool.
To look at one by hand: python3 -c 'import c2pa,sys; print(c2pa.Reader("video/mp4", open(sys.argv[1], "rb")).json())' FILE, or
exiftool -G1 -XMP:all FILE.
"""
import contextlib
import datetime
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import bad_input_test as world_of

try:
    import c2pa
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError as error:
    print(f"skipped: {error}: pip install -r tools/python/test.txt")
    sys.exit(77)

PLAIN = (world_of.DATA / "rotated.mp4").read_bytes()
OTHER = (world_of.DATA / "ten_bit.webm").read_bytes()
TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DMI = "http://ns.useplus.org/ldf/vocab/DMI-"
EXIFTOOL_CONFIG = """
%Image::ExifTool::UserDefined = (
  'Image::ExifTool::PLUS::XMP' => { DataMining => {} },
  'Image::ExifTool::XMP::Main' => { tdm => { SubDirectory => { TagTable => 'Image::ExifTool::UserDefined::tdm' } } },
);
%Image::ExifTool::UserDefined::tdm = (
  GROUPS => { 0 => 'XMP', 1 => 'XMP-tdm', 2 => 'Other' },
  NAMESPACE => { 'tdm' => 'http://www.w3.org/ns/tdmrep/' },
  WRITABLE => 'string', reservation => { },
);
1;
"""


def certificate(subject, issuer, key, signer, is_ca):
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "NO"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
                          x509.NameAttribute(NameOID.COMMON_NAME, text)])
    builder = x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), x509.random_serial_number(),
                                      datetime.datetime(2025, 1, 1), datetime.datetime(2090, 1, 1))
    usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                           "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)
    usage.update({"key_cert_sign": True, "crl_sign": True} if is_ca else {"digital_signature": True})
    builder = builder.add_extension(x509.BasicConstraints(is_ca, None), True).add_extension(x509.KeyUsage(**usage), True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
    if not is_ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Signer:
    def __init__(self):
        ca, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        chain = certificate("test signer", "test ca", own, ca, False) + certificate("test ca", "test ca", ca, ca, True)
        key = own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, chain, key, None)

    def sign(self, source, target, assertions, parent=None, beside=None, redact=()):
        """The file with a manifest of these assertions; `parent`: a file whose manifests stay in the store, but for what the URIs of
        `redact` name; `beside`: the store goes to this file instead."""
        builder = c2pa.Builder(json.dumps({"claim_generator_info": [{"name": "marks_test", "version": "1"}], "title": target.name,
                                           "assertions": assertions, "redactions": list(redact)}))
        if parent:
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
            with open(parent, "rb") as stream:
                builder.add_ingredient(json.dumps({"title": "parent", "relationship": "parentOf"}), "video/mp4", stream)
        if beside:
            builder.set_no_embed()
        with c2pa.Signer.from_info(self.info) as signer, open(source, "rb") as stream, open(target, "w+b") as out:
            store = builder.sign(signer, "video/mp4", stream, out)
        if beside:
            beside.write_bytes(store)


def created(kind):
    return {"label": "c2pa.actions", "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": TYPES + kind}]}}


def mining(label, **uses):
    prefix = label.split(".")[0]
    return {"label": label, "data": {"entries": {f"{prefix}.{entry}": {"use": use} for entry, use in uses.items()}}}


CAMERA = created("digitalCapture")
# name: assertions, the rule that refuses it (or None), words of the reason
SIGNED = {
    "says_nothing": ([CAMERA], None, ""),
    "allowed": ([CAMERA, mining("cawg.training-mining", ai_generative_training="allowed", data_mining="allowed")], None, ""),
    "not_allowed": ([CAMERA, mining("cawg.training-mining", ai_generative_training="notAllowed", data_mining="allowed")],
                    "mark_says_no", "cawg.training-mining says cawg.ai_generative_training notAllowed"),
    "old_label": ([CAMERA, mining("c2pa.training-mining", ai_training="notAllowed")], "mark_says_no", "c2pa.training-mining"),
    "constrained": ([CAMERA, mining("c2pa.training-mining", ai_training="constrained")], "mark_says_no", "constrained"),
    "unknown_use": ([CAMERA, mining("c2pa.training-mining", ai_training="sometimes")], "mark_unclear", "sometimes"),
    "both_labels": ([CAMERA, mining("c2pa.training-mining", ai_training="allowed"),
                     mining("cawg.training-mining", ai_training="notAllowed")], "mark_says_no", "cawg.training-mining"),
    "machine_made": ([created("trainedAlgorithmicMedia")], "synthetic_not_licensed", "trainedAlgorithmicMedia"),
    "partly_machine_made": ([created("compositeWithTrainedAlgorithmicMedia")], "synthetic_not_licensed", "compositeWith"),
}
# name: what exiftool writes, the rule, words
WRITTEN = {
    "dmi_allowed": ([f"-XMP-plus:DataMining={DMI}ALLOWED"], None, ""),
    "dmi_prohibited": ([f"-XMP-plus:DataMining={DMI}PROHIBITED-GENAIMLTRAINING"], "mark_says_no", "plus.data-mining"),
    "dmi_unknown": ([f"-XMP-plus:DataMining={DMI}PERHAPS"], "mark_unclear", "plus.data-mining"),
    "iptc_camera": ([f"-XMP-iptcExt:DigitalSourceType={TYPES}digitalCapture"], None, ""),
    "iptc_machine": ([f"-XMP-iptcExt:DigitalSourceType={TYPES}compositeSynthetic"], "synthetic_not_licensed", "compositeSynthetic"),
    "tdm_reserved": (["-XMP-tdm:reservation=1"], "mark_says_no", "tdm-reservation"),
    "tdm_free": (["-XMP-tdm:reservation=0"], None, ""),
}


def flip(data, before, after):
    """The same bytes but for one, `after` bytes behind the first occurrence of `before`."""
    place = data.index(before) + after
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1:]


class Marks(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.TemporaryDirectory()
        self.addCleanup(self.top.cleanup)
        self.base = pathlib.Path(self.top.name)
        (self.base / "world").mkdir()
        self.world = world_of.make_world(self.base / "world")
        self.world.must(world_of.LEDGER, "append", self.world.db, self.world.licence())
        self.world.delivery.mkdir()
        self.plain = self.base / "plain.mp4"
        self.plain.write_bytes(PLAIN)
        self.signer = Signer()

    def ingest(self, *options):
        """path: (outcome, detail)"""
        done = self.world.run(*world_of.ingest(self.world), "--json", *options)
        self.assertIn(done.returncode, (0, 3, 4), done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return {line["path"]: (line["outcome"], line["detail"]) for line in lines if "path" in line}

    def marks(self):
        """What the ledger keeps: (name, says, value) by the digest of the file."""
        with contextlib.closing(sqlite3.connect(f"file:{self.world.db}?mode=ro", uri=True)) as db:
            return db.execute("SELECT name, says, value, source FROM mark ORDER BY seq").fetchall()

    def expect(self, found, name, rule, words):
        outcome, detail = found[name]
        if rule is None:
            self.assertNotIn(outcome, ("refused", "failed"), detail)
        else:
            self.assertEqual(outcome, "refused", detail)
            self.assertTrue(detail.startswith(rule + ": "), detail)
            self.assertIn(words, detail)

    def test_c2pa_manifests_signed_by_the_wheel(self):
        for name, (assertions, _, _) in SIGNED.items():
            self.signer.sign(self.plain, self.world.delivery / f"{name}.mp4", assertions)
        found = self.ingest()
        for name, (_, rule, words) in SIGNED.items():
            with self.subTest(name):
                self.expect(found, f"{name}.mp4", rule, words)

    def test_every_manifest_of_the_store_counts(self):
        reserved = self.base / "reserved.mp4"
        self.signer.sign(self.plain, reserved, SIGNED["not_allowed"][0])
        self.signer.sign(reserved, self.world.delivery / "edited.mp4", SIGNED["allowed"][0][1:], parent=reserved)
        self.expect(self.ingest(), "edited.mp4", "mark_says_no", "notAllowed")
        self.assertEqual({says for _, says, _, _ in self.marks()}, {"allowed", "no"})

    def test_what_was_redacted_is_no_yes(self):
        """C2PA lets a later manifest take assertions out of earlier ones, and the store verifies as before."""
        for label, mark in (("cawg.training-mining", "cawg.training-mining"), ("c2pa.training-mining", "c2pa.training-mining"), ("org.test.note", "c2pa")):
            with self.subTest(label):
                said = {"label": label, "data": {"note": "x"}} if mark == "c2pa" else mining(label, ai_training="notAllowed")
                reserved, film = self.base / "reserved.mp4", self.world.delivery / f"{label}.mp4"
                self.signer.sign(self.plain, reserved, [CAMERA, said])
                with open(reserved, "rb") as stream:
                    manifest = json.loads(c2pa.Reader("video/mp4", stream).json())["active_manifest"]
                self.signer.sign(reserved, film, [], parent=reserved, redact=[f"self#jumbf=/c2pa/{manifest}/c2pa.assertions/{label}"])
                with open(film, "rb") as stream:
                    self.assertEqual(json.loads(c2pa.Reader("video/mp4", stream).json())["validation_state"], "Valid")
                self.expect(self.ingest(), film.name, "mark_unclear", f"{mark} says redacted: ")
        self.assertEqual([row[:2] for row in self.marks() if row[1] != "allowed"],
                         [("cawg.training-mining", "unclear"), ("c2pa.training-mining", "unclear"), ("c2pa", "unclear")])

    def test_a_broken_signature_is_never_a_yes(self):
        allowed = self.base / "allowed.mp4"
        self.signer.sign(self.plain, allowed, SIGNED["allowed"][0])
        data = allowed.read_bytes()
        broken = {"picture": flip(data, b"mdat", 100), "claim": flip(data, b"cawg.ai_generative_training", 5),
                  "signature": flip(data, b"c2pa.signature\0", 60), "cut": data[:data.index(b"c2pa.signature\0")],
                  "transcoded": OTHER + data[data.index(bytes.fromhex("d8fec3d61b0e483c92975828877ec481")) - 8:]}
        for name, bytes_ in broken.items():
            (self.world.delivery / f"{name}.mp4").write_bytes(bytes_)
        found = self.ingest()
        for name in broken:
            with self.subTest(name):
                self.expect(found, f"{name}.mp4", "mark_unclear", "c2pa says ")

    def test_marks_that_contradict_each_other_are_a_no_and_all_on_record(self):
        film = self.world.delivery / "film.mp4"
        self.signer.sign(self.plain, film, SIGNED["allowed"][0])
        (self.world.delivery / "film.mp4.tdmrep.json").write_text('[{"tdm-reservation": 0}, {"tdm-reservation": 1}]')
        done = self.world.run(*world_of.ingest(self.world))
        self.assertEqual(done.returncode, 3, done.stderr)  # the only file, and refused
        self.assertEqual([line for line in done.stdout.splitlines() if line.startswith("refused")],
                         ["refused   film.mp4: mark_says_no: licence TEST-1@1 has no override for a do-not-train mark: "
                          "tdm-reservation says 1 (film.mp4.tdmrep.json)"])
        self.assertEqual([says for name, says, _, _ in self.marks() if name == "tdm-reservation"], ["allowed", "no"])

    def test_without_the_library_a_file_with_manifests_is_refused(self):
        self.signer.sign(self.plain, self.world.delivery / "allowed.mp4", SIGNED["allowed"][0])
        (self.world.delivery / "plain.webm").write_bytes(OTHER)
        for library in ("", "/nowhere/libc2pa_c.so"):
            found = self.ingest("--c2pa-library", library)
            self.expect(found, "allowed.mp4", "mark_unclear", "c2pa-python")
            self.expect(found, "plain.webm", None, "")

    def test_a_store_beside_the_file(self):
        film = self.world.delivery / "film.mp4"
        self.signer.sign(self.plain, film, SIGNED["not_allowed"][0], beside=self.world.delivery / "film.c2pa")
        self.expect(self.ingest(), "film.mp4", "mark_says_no", "notAllowed")
        (self.world.delivery / "film.c2pa").write_bytes(b"no store")
        (self.world.delivery / "other.webm").write_bytes(OTHER)
        (self.world.delivery / "other.webm.c2pa").write_bytes(b"no store")
        self.expect(self.ingest(), "other.webm", "mark_unclear", "c2pa")

    def test_xmp_written_by_exiftool(self):
        if shutil.which("exiftool") is None:
            self.skipTest("no exiftool: apt-get install libimage-exiftool-perl")
        config = self.base / "config"
        config.write_text(EXIFTOOL_CONFIG)
        for name, (arguments, _, _) in WRITTEN.items():
            subprocess.run(["exiftool", "-config", config, "-q", *arguments, "-o", self.world.delivery / f"{name}.mp4", self.plain], check=True)
        found = self.ingest()
        for name, (_, rule, words) in WRITTEN.items():
            with self.subTest(name):
                self.expect(found, f"{name}.mp4", rule, words)

    def test_the_record_is_judged_ever_after(self):
        """A sidecar that comes after the footage was taken in stops it; an override of that mark lets it go on; another does not."""
        self.world.must(world_of.LEDGER, "append", self.world.db, self.world.licence("two.licence", change=("**", "2/**"), id=("TEST-1", "TEST-2")))
        film = self.world.delivery / "film.webm"
        film.write_bytes(OTHER)
        shards = self.world.path("shards")
        pack = [world_of.CURATE, "shard", "--ledger", self.world.db, "--delivery", self.world.delivery, "--out", shards, "--json"]
        self.expect(self.ingest(), "film.webm", None, "")
        self.world.must(*pack)
        (self.world.delivery / "film.webm.tdmrep.json").write_text('{"tdm-reservation": 1}')
        self.expect(self.ingest(), "film.webm", "mark_says_no", "tdm-reservation says 1 (film.webm.tdmrep.json)")
        (self.world.delivery / "film.webm.tdmrep.json").unlink()
        self.expect(self.ingest(), "film.webm", "mark_says_no", "tdm-reservation")  # what was said once stays said
        root = json.loads(self.world.run(*pack).stdout.splitlines()[0]).get("root", "")
        approve = [world_of.LEDGER, "approve", self.world.db, root, "--key", self.world.path("approver.key")]
        done = self.world.run(*approve)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("mark_says_no", done.stderr)
        why = self.world.run(world_of.LEDGER, "why", self.world.db, "film.webm")
        self.assertIn("tdm-reservation", why.stdout)
        for version, (mark, code) in enumerate((("plus.data-mining", 3), ("tdm-reservation", 0)), 2):
            self.world.must(world_of.LEDGER, "append", self.world.db, self.world.licence(
                f"v{version}.licence", change=("version: 1", f'version: {version} supersedes: "TEST-1@{version - 1}"'),
                more=("clearances", f'overrides {{ mark: "{mark}" }}\nclearances')))
            self.assertEqual(self.world.run(*approve).returncode, code, mark)
        self.world.must(world_of.LEDGER, "verify", self.world.db)

    def test_what_the_gate_refuses_is_not_shown_as_cleared(self):
        """A mark that comes after the approval: `curate look` weighs it unrecorded, `ledger query cleared` once it is on record."""
        self.world.must(world_of.LEDGER, "append", self.world.db, self.world.licence("two.licence", change=("**", "2/**"), id=("TEST-1", "TEST-2")))
        (self.world.delivery / "film.webm").write_bytes(OTHER)
        self.expect(self.ingest(), "film.webm", None, "")
        packed = self.world.run(world_of.CURATE, "shard", "--ledger", self.world.db, "--delivery", self.world.delivery, "--out", self.world.path("shards"), "--json")
        root = json.loads(packed.stdout.splitlines()[0])["root"]
        self.world.must(world_of.LEDGER, "approve", self.world.db, root, "--key", self.world.path("approver.key"))
        cleared = [world_of.LEDGER, "query", self.world.db, "cleared", "--csv"]
        look = [world_of.CURATE, "look", "--ledger", self.world.db, self.world.delivery]
        self.assertIn(root, self.world.run(*cleared).stdout)
        self.assertIn("cleared   film.webm", self.world.run(*look).stdout)
        (self.world.delivery / "film.webm.tdmrep.json").write_text('{"tdm-reservation": 1}')
        seen = self.world.run(*look)
        self.assertIn("refused   film.webm", seen.stdout)
        self.assertIn("mark_says_no", seen.stdout)
        self.expect(self.ingest(), "film.webm", "mark_says_no", "tdm-reservation")
        self.assertNotIn(root, self.world.run(*cleared).stdout)

    def test_marks_are_kept_whatever_becomes_of_the_file(self):
        self.signer.sign(self.plain, self.world.delivery / "no.mp4", SIGNED["not_allowed"][0])
        self.ingest()
        kept = self.marks()
        self.assertIn(("cawg.training-mining", "no"), {row[:2] for row in kept})
        before = self.world.records()
        self.ingest()
        self.assertEqual(self.world.records(), before)  # the same marks are no new facts
        self.world.must(world_of.LEDGER, "verify", self.world.db)


def make_samples(folder):
    """reserved.mp4 and broken.mp4 of data/, for docs/rights.md: another certificate each time, and else the same."""
    plain = folder / "rotated.mp4"
    Signer().sign(plain, folder / "reserved.mp4", SIGNED["not_allowed"][0])
    (folder / "broken.mp4").write_bytes(flip((folder / "reserved.mp4").read_bytes(), b"mdat", 100))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--samples"]:
        make_samples(pathlib.Path(sys.argv[2]))
        sys.exit(0)
    world_of.LEDGER, world_of.CURATE = sys.argv[1:]
    unittest.main(argv=sys.argv[:1], verbosity=2)
