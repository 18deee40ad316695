"""Every test that docs/threats.md names exists, in the file it names.  usage: docs_test.py ROOT"""
import pathlib
import re
import sys
import unittest

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


if __name__ == "__main__":
    unittest.main()
