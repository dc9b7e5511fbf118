"""Makes what is deployed of a release build: a tarball, the functions' zip, and their checksums.

    infra/dist.py BINARY DIRECTORY [LIBRARY…]

BINARY is the command, built with the libraries in it (see `make dist`), and each LIBRARY goes beside it into the tarball,
with the header and the example for C. Both archives have the same bytes for the
same input. What would not start where it is meant for is refused (`check`), and nothing is made.
"""

import gzip
import hashlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Amazon Linux 2023, which Lambda's provided.al2023 is: glibc 2.34 and the libstdc++ of GCC 11.
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (11, 0, 0)}
# All else is in the command; libcurl is opened where DynamoDB elects, and only then.
LIBRARIES = {
    "libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"
}
INTERFACE = {"include/sluice.h": "Sources/CSluice/sluice.h", "examples/c/orders.c": "examples/c/orders.c"}
DOCUMENTS = [
    "README.md", "CONTRIBUTING.md", "Sources/README.md", "Tests/README.md", "docs/OPERATIONS.md", "docs/DJANGO.md",
    "docs/GUARANTEES.md", "docs/FORMAT.md", "python/README.md", "infra/sluice.yaml"
]

BOOTSTRAP = """#!/bin/sh
# What Lambda starts. The function's handler is `writer` or `reader`.
exec "$LAMBDA_TASK_ROOT/sluice" lambda "$_HANDLER"
"""


def check(binary):
    """What keeps a binary from starting on Amazon Linux 2023, one sentence each."""
    def read(*command):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    found = []
    for library in re.findall(r"\(NEEDED\)\s+Shared library: \[(.+)\]", read("readelf", "--dynamic", "--wide", binary)):
        if library not in LIBRARIES:
            found.append(f"needs {library}, which is not there: link it statically")
    if re.search(r"\s\.(symtab|debug_info)\s", read("readelf", "--sections", "--wide", binary)):
        found.append("has symbols that nobody needs: strip it")
    for line in read("objdump", "--dynamic-syms", binary).splitlines():
        match = re.search(r"\*UND\*.*?\(?\b([A-Z]+)_([0-9.]+)\)?\s+(\S+)$", line)
        if match and match[1] in NEWEST:
            version = tuple(int(part) for part in match[2].split("."))
            if version > NEWEST[match[1]]:
                found.append(f"needs {match[3]} of {match[1]}_{match[2]}, which is newer than what is there")
    return found


def tarball(path, name, files):
    """`files` are (name inside, bytes, mode)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for inside, content, mode in sorted(files):
            entry = tarfile.TarInfo(f"{name}/{inside}")
            entry.size, entry.mode, entry.mtime = len(content), mode, 0
            archive.addfile(entry, io.BytesIO(content))
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
        packed.write(buffer.getvalue())


def functions(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, content, mode in files:
            entry = zipfile.ZipInfo(inside)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def make(binary, directory, libraries=()):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    stripped = directory / "sluice"
    subprocess.run(["strip", "--strip-all", "-o", stripped, binary], check=True)
    stripped.chmod(0o755)
    problems = [(binary, problem) for problem in check(stripped)]
    problems += [(library, problem) for library in libraries for problem in check(library)]
    if problems:
        stripped.unlink()
        for file, problem in problems:
            print(f"{file}: {problem}", file=sys.stderr)
        return 1
    version = subprocess.run([stripped, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    name = f"sluice-{version}-linux-{os.uname().machine}"
    command = stripped.read_bytes()
    documents = [(document, (ROOT / document).read_bytes(), 0o644) for document in DOCUMENTS]
    image = [("Dockerfile", (ROOT / "infra/Dockerfile").read_bytes(), 0o644)]
    interface = [(f"lib/{library.name}", library.read_bytes(), 0o755) for library in libraries]
    if interface:
        interface += [(inside, (ROOT / file).read_bytes(), 0o644) for inside, file in INTERFACE.items()]
    tarball(
        directory / f"{name}.tar.gz", name, [("bin/sluice", command, 0o755)] + interface + documents + image
    )
    functions(
        directory / "sluice-lambda.zip", [("bootstrap", BOOTSTRAP.encode(), 0o755), ("sluice", command, 0o755)]
    )
    stripped.unlink()
    made = sorted(path for path in directory.iterdir())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made]
    (directory / "SHA256SUMS").write_text("".join(sums))
    for path in made:
        print(f"{path.stat().st_size / 1e6:6.1f} MB  {path}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    given = [pathlib.Path(word) for word in sys.argv[1:]]
    sys.exit(make(given[0], given[1], given[2:]))
