"""The README's five minutes with the command, typed into a shell as they stand there; what is shown must be said."""

import re
import subprocess
import tempfile
import unittest

from documented import Shell
from peers import ROOT

README = (ROOT / "README.md").read_text()
(SECTION,) = re.findall(r"^## Five minutes with the command\n(.*?)(?=^## )", README, re.DOTALL | re.MULTILINE)
BLOCKS = re.findall(r"^```\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)
# What is shown and may be another, each time: a pattern for what is shown, and one for what is said.
OTHERS = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    (r"vm:\d+", r"\S+:\d+"),
    (r"127\.0\.0\.1:\d+", r"127\.0\.0\.1:\d+"),
    (r"[0-9a-f]{8}-…", r"[0-9a-f-]{36}"),
    (r"\d+ received, \d+ useful, \d+ sent", r"\d+ received, \d+ useful, \d+ sent"),
    (r"\d+(?= ms ago| bytes| s old| commits| pages)", r"\d+"),
    (r'(?<="commit": )\d+', r"\d+"),
    # Those whose files are not removed yet.
    (r"(?<=^writers      )\d+", r"\d+"),
]


def pattern(shown):
    """A regular expression for a line that is shown."""
    every = re.compile("|".join(f"({one})" for one, _ in OTHERS))
    found, end = "", 0
    for match in every.finditer(shown):
        found += re.escape(shown[end : match.start()]) + OTHERS[match.lastindex - 1][1]
        end = match.end()
    return found + re.escape(shown[end:])


def examples():
    """Each command with the lines that it shows, in their order; and the contents of the file that one of them reads."""
    typed, batches = [], None
    for block in BLOCKS:
        if not block.startswith("$ "):
            batches = block
            continue
        for line in block.splitlines():
            if line.startswith("$ "):
                typed.append((line[2:], []))
            else:
                typed[-1][1].append(line)
    return typed, batches


class FiveMinutes(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="sluice-readme-")
        self.addCleanup(place.cleanup)
        self.host = Shell(place.name)
        self.shell = subprocess.Popen(
            ["bash", "--norc"], cwd=place.name, env=self.host.variables, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        self.addCleanup(self.stop)

    def stop(self):
        """With the applier, where a test ended early."""
        self.shell.stdin.write("kill $(jobs -p) 2> /dev/null; wait\n")
        self.shell.stdin.close()
        self.shell.stdout.read()
        self.shell.stdout.close()
        self.shell.wait()

    def type(self, command):
        """The lines that come until the next prompt."""
        if command.endswith("--follow"):
            # It goes on until somebody ends it.
            command = f"timeout --signal TERM 5 {command}"
        self.shell.stdin.write(f"{self.host.local(command)}\necho; echo '[ready]'\n")
        self.shell.stdin.flush()
        lines = []
        for line in self.shell.stdout:
            if line == "[ready]\n":
                break
            lines.append(line.rstrip("\n").replace(str(self.host.place), ""))
        # The `echo`, which ends a line that has no end.
        if lines and lines[-1] == "":
            lines.pop()
        return lines

    def test_it_says_what_is_shown(self):
        typed, batches = examples()
        (self.host.place / "batches.ndjson").write_text(batches)
        self.assertGreater(len(typed), 25)
        for command, shown in typed:
            with self.subTest(command):
                said = self.type(command)
                self.assertEqual(len(said), len(shown), f"{command}\nshown: {shown}\nsaid: {said}")
                for one, line in zip(shown, said):
                    self.assertRegex(line, f"^{pattern(one)}$", command)


if __name__ == "__main__":
    unittest.main()
