"""The commands that OPERATIONS shows, and a place where they are executed as they stand there."""

import os
import pathlib
import re
import subprocess
import sys
import textwrap

from peers import REGION, ROOT

OPERATIONS = (ROOT / "docs/OPERATIONS.md").read_text()
SLUICE = pathlib.Path(os.environ.get("SLUICE", ROOT / ".build/debug/sluice"))
# What a host of the document has at its root, and a test in its own place.
DIRECTORIES = re.compile(r"(?<![\w./-])/(?=(mnt/efs|backup|scratch|var/tmp)\b)")


def block(heading, words):
    """The one code block behind a heading, before the next one, that has the words in it."""
    (section,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", OPERATIONS, re.DOTALL | re.MULTILINE)
    # A block begins a line, or stands in a list.
    found = re.findall(r"^( *)```\n(.*?)^\1```$", section, re.DOTALL | re.MULTILINE)
    (text,) = [textwrap.dedent(text) for _, text in found if words in text]
    return text


class Shell:
    """A host with `sluice` and `aws` in its PATH, whose AWS is a peer, and whose directories lie in `place`."""

    def __init__(self, place, peer=None, **variables):
        self.place = pathlib.Path(place)
        for name in ("bin", "mnt/efs", "backup", "scratch", "var/tmp"):
            (self.place / name).mkdir(parents=True)
        (self.place / "scratch").chmod(0o1777)
        (self.place / "bin/sluice").symlink_to(SLUICE.resolve())
        (self.place / "bin/aws").symlink_to(pathlib.Path(sys.executable).with_name("aws"))
        self.variables = {
            "PATH": f"{self.place}/bin:/usr/local/bin:/usr/bin:/bin", "HOME": str(self.place), "LANG": "C.UTF-8",
        }
        if peer:
            self.variables |= {
                "AWS_ENDPOINT_URL": peer.url, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            }
        self.variables |= variables

    def local(self, text):
        return DIRECTORIES.sub(f"{self.place}/", text)

    def run(self, script, code=0, **values):
        """What a script says on standard output; it must end with `code`."""
        words = ["bash", "-euo", "pipefail", "-c", "umask 022\n" + self.local(script)]
        end = subprocess.run(
            words, capture_output=True, text=True, timeout=300, cwd=self.place, env=self.variables | values
        )
        if end.returncode != code:
            raise AssertionError(f"{script}\nended with {end.returncode}:\n{end.stdout}{end.stderr}")
        return end.stdout

    def start(self, script, **options):
        """A process that goes on; `options` are Popen's."""
        return subprocess.Popen(
            ["bash", "-c", "exec " + self.local(script)], cwd=self.place, env=self.variables, **options
        )
