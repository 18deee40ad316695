"""Every test that docs/threats.md names exists, in the file it names, and the proofs that the format pages show verify, read by code that
is not ours.  usage: docs_test.py ROOT"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import proof_files

ROOT = pathlib.Path(sys.argv.pop())


class Threats(unittest.TestCase):
    def test_every_test_named_exists(self):
        rows = [line for line in (ROOT / "docs/threats.md").read_text().splitlines() if line.startswith("| ")][1:]
        self.assertTrue(rows)
        for row in rows:
            names = re.findall(r"`(tests/\S+): ([\w.]+)`", row)
            self.assertTrue(names, f"no test is named in: {row}")
            for file, name in names:
                suite, _, test = name.rpartition(".")
                wanted = rf"^TEST(_F|_P)?\({suite}, {test}\)" if suite else rf"^    def {test}\("
                self.assertRegex((ROOT / file).read_text(), re.compile(wanted, re.M), f"{file}: {name}")


class Examples(unittest.TestCase):
    def said_by(self, page):
        """What the proofs on a page of docs/formats say, each shown as one indented block with an empty line or two in it."""
        text = (ROOT / "docs/formats" / page).read_text()
        blocks = [re.sub(r"^    ", "", block, flags=re.M) for block in re.findall(r"(?:^(?:    .*)?\n)+", text, re.M)]
        with tempfile.NamedTemporaryFile("w") as key:
            key.write(next(block for block in blocks if block.startswith("\nlog ")))
            key.flush()
            log = proof_files.log_key(key.name)
        return [proof_files.check(block.strip("\n") + "\n", log) for block in blocks if block.startswith("\ncleared ")]

    def test_a_statement_verifies_as_its_page_says(self):
        recipe = re.search(r"^```sh\n(.*?)^#> (.*?)\n```", (ROOT / "docs/formats/statement.md").read_text(), re.M | re.S)
        for change, code, says in (("", 0, recipe[2]), ("payload", 1, "Signature Verification Failure"), ("sig", 1, "Signature Verification Failure")):
            with tempfile.TemporaryDirectory() as folder:
                for file in ("statement.dsse.json", "trainer.pub"):
                    shutil.copy(ROOT / "tests/tools/data" / file, folder)
                path = pathlib.Path(folder) / "statement.dsse.json"
                text = path.read_text()
                if change:  # one character of it
                    at = text.index(f'"{change}":"') + len(change) + 44
                    path.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:])
                done = subprocess.run(["bash", "-ec", recipe[1]], cwd=folder, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(says, done.stdout)

    def test_the_proofs_on_the_pages_verify(self):
        self.assertEqual(self.said_by("state.md"), ["at 6 records absent: revocation LIC-1", "at 6 records present: licence LIC-1@1 as record 5"])
        self.assertEqual(self.said_by("disclosure.md"), ["licence LIC-1@1 says pay[0].rate_micros: 45000000 (record 5)"])


if __name__ == "__main__":
    unittest.main()
