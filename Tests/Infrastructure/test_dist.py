"""What `make dist` refuses, and what it makes."""

import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "infra"))

import dist  # noqa: E402


class Dist(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="sluice-dist-")
        self.addCleanup(place.cleanup)
        self.place = pathlib.Path(place.name)

    def compiled(self, text, *arguments, linking=("-s",)):
        source = self.place / "a.c"
        source.write_text(text)
        subprocess.run(["gcc", "-o", self.place / "a", source, *linking, *arguments], check=True)
        return self.place / "a"

    def test_a_newer_symbol_is_named(self):
        # arc4random came with glibc 2.36.
        found = dist.check(self.compiled(
            "#include <stdlib.h>\nint main(void) { return arc4random() == 0; }"
        ))
        self.assertEqual(len(found), 1)
        self.assertIn("arc4random of GLIBC_2.36", found[0])

    def test_a_library_that_is_not_there_is_named(self):
        found = dist.check(self.compiled(
            "const char *sqlite3_libversion(void);\nint main(void) { return *sqlite3_libversion(); }", "-lsqlite3"
        ))
        self.assertEqual(len(found), 1)
        self.assertIn("libsqlite3.so.0", found[0])

    def test_symbols_that_nobody_needs_are_named(self):
        found = dist.check(self.compiled("int main(void) { return 0; }", linking=()))
        self.assertEqual(found, ["has symbols that nobody needs: strip it"])

    def test_what_is_there_may_be_used(self):
        self.assertEqual(dist.check(self.compiled("#include <stdio.h>\nint main(void) { puts(\"\"); }")), [])

    def test_nothing_is_made_of_what_would_not_start(self):
        binary = self.compiled("#include <stdlib.h>\nint main(void) { return arc4random() == 0; }")
        made = subprocess.run(
            [sys.executable, ROOT / "infra/dist.py", binary, self.place / "made"], capture_output=True, text=True
        )
        self.assertEqual(made.returncode, 1)
        self.assertIn("arc4random", made.stderr)
        self.assertEqual(list((self.place / "made").iterdir()), [])

    def test_the_same_input_makes_the_same_bytes(self):
        binary = self.compiled("#include <stdio.h>\nint main(void) { puts(\"1.2.3\"); }")
        sums = []
        for name in ("first", "second"):
            self.assertEqual(dist.make(binary, self.place / name), 0)
            sums.append((self.place / name / "SHA256SUMS").read_text())
            subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=self.place / name, check=True)
        self.assertEqual(sums[0], sums[1])
        self.assertEqual(len(sums[0].splitlines()), 2)
        (archive,) = (self.place / "first").glob("sluice-1.2.3-linux-*.tar.gz")
        with tarfile.open(archive) as file:
            names = {pathlib.Path(entry.name).relative_to(archive.name.removesuffix(".tar.gz")).as_posix(): entry
                     for entry in file.getmembers()}
        self.assertEqual(names["bin/sluice"].mode, 0o755)
        self.assertLessEqual({"Dockerfile", "infra/sluice.yaml", "docs/OPERATIONS.md"}, set(names))

    def test_libraries_lie_beside_the_command_with_what_c_needs(self):
        binary = self.compiled("#include <stdio.h>\nint main(void) { puts(\"1.2.3\"); }")
        library = self.place / "libsluice.so"
        source = self.place / "library.c"
        for text, code in [("int a;", 0), ("#include <stdlib.h>\nint a(void) { return arc4random() == 0; }", 1)]:
            source.write_text(text)
            subprocess.run(["gcc", "-shared", "-fPIC", "-s", "-o", library, source], check=True)
            self.assertEqual(dist.make(binary, self.place / "made", [library]), code)
            if code == 0:
                (archive,) = (self.place / "made").glob("*.tar.gz")
                with tarfile.open(archive) as file:
                    names = {entry.name.split("/", 1)[1] for entry in file.getmembers()}
                self.assertLessEqual({"lib/libsluice.so", "include/sluice.h", "examples/c/orders.c"}, names)

    def test_the_dockerfile_is_sound(self):
        found = subprocess.run(
            [pathlib.Path(sys.executable).with_name("hadolint"), "--failure-threshold", "style", "infra/Dockerfile"],
            capture_output=True, text=True, cwd=ROOT,
        )
        self.assertEqual((found.returncode, found.stdout), (0, ""), found.stderr)

    def test_the_image_is_for_the_user_of_the_access_point(self):
        from template import properties

        user = properties("ApplierAccessPoint")["PosixUser"]
        text = (ROOT / "infra/Dockerfile").read_text()
        self.assertIn(f"USER {user['Uid']}:{user['Gid']}\n", text)
        # What the command opens when it needs it.
        for library in ["libcurl4", "libmicrohttpd12"]:
            self.assertIn(f" {library} ", text)
        # On Fargate a volume has the rights of the image's directory.
        self.assertIn("mkdir --mode 1777 /scratch", text)
        self.assertIn("VOLUME /scratch", text)


if __name__ == "__main__":
    unittest.main()
