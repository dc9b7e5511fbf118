"""Runs Django's own tests with its backend on a file, and with `sluice.django` on stores, and compares.

Ends with 0 where each test came to the same outcome. The tests are those of the installed version's
source distribution, which pip fetches. `--kill 10` kills an applier every ten seconds of the second run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator

import django

from django_suite.killing import Killer

STOCK = "django.db.backends.sqlite3"
STORE = "sluice.django"

# What Django's own runner leaves out or looks into for others, and what looks into its source, which is put away here.
NO_APPS = frozenset({"gis_tests", "import_error_package", "sphinx", "test_runner_apps"})

# What differs on purpose.
BY_DESIGN: dict[str, str] = {}
# From 5.1 on the other run begins its transactions in the same way.
if django.VERSION < (5, 1):
    BY_DESIGN["backends.base.test_base.DatabaseWrapperLoggingTests.test_commit_debug_log"] = (
        "it wants BEGIN, which is BEGIN IMMEDIATE on a store"
    )
if django.VERSION >= (6, 0):
    BY_DESIGN[
        "backends.sqlite.test_creation.TestDbSignatureTests"
        ".test_setup_worker_connection_respects_test_database_name"
    ] = "it wants a worker that is spawned to take its clone into memory, and that keeps its store"

# What measures the time that something takes without a database: on a busy machine it may fail with either.
MEASURES_TIME = (
    "serializers.test_deserialization.TestDeserializer.test_crafted_xml_performance",
)

# What may differ, and why.
EXCUSED = {**BY_DESIGN, **dict.fromkeys(MEASURES_TIME, "it measures time")}

HERE = pathlib.Path(__file__).resolve().parent
VERSION = django.get_version()


def main() -> int:
    options = parser().parse_args()
    work = pathlib.Path(options.work).resolve()
    tests = fetched(work)
    known = all_apps(tests)
    apps = options.apps or known
    if missing := set(apps) - set(known):
        parser().error(f"Django {VERSION} has no tests named {', '.join(sorted(missing))}")
    with tempfile.TemporaryDirectory(prefix="django-suite-") as directory:
        expected = run(options, tests, apps, STOCK, work, directory)
        found = run(options, tests, apps, options.engine, work, directory)
    status = compared(expected, found, options.engine)
    if options.kill is not None:
        print(f"{options.killed} appliers were killed meanwhile")
        if options.killed == 0:
            print("that shows nothing; let it run longer, or kill more often")
            return 1
    return status


def all_apps(tests: pathlib.Path) -> list[str]:
    """Each folder of tests that runs on SQLite; those of geography need an extension of their own."""
    return sorted(
        folder.name
        for folder in tests.iterdir()
        if (folder / "__init__.py").is_file() and folder.name not in NO_APPS
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m django_suite", description=__doc__)
    made.add_argument("apps", nargs="*", help="which folders of Django's tests; all unless given")
    made.add_argument("--engine", default=STORE, help=f"what is compared; {STORE} unless given")
    made.add_argument("--parallel", type=int, default=1, metavar="N", help="workers, each with a clone")
    made.add_argument(
        "--kill", type=float, metavar="S", help="kills the applier that leads a store every S seconds"
    )
    made.set_defaults(killed=0)
    made.add_argument("--work", default=".build/django", help="where the tests and the logs go")
    made.add_argument("--timeout", type=float, default=7200, metavar="S", help="of each of the two runs")
    return made


def fetched(work: pathlib.Path) -> pathlib.Path:
    """The folder with Django's tests."""
    root = work / f"django-{VERSION}"
    if not (root / "tests" / "runtests.py").is_file():
        shutil.rmtree(root, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--no-deps", "--no-binary", "Django", "--dest", str(work), f"Django=={VERSION}"],
            check=True,
        )
        (archive,) = work.glob(f"[dD]jango-{VERSION}.tar.gz")
        with tarfile.open(archive) as content:
            names = [
                member for member in content.getmembers()
                if member.name.split("/")[1:2] in (["tests"], ["docs"], ["django"])
            ]
            content.extractall(work, members=names)
        found = work / archive.name[: -len(".tar.gz")]
        if found != root:
            found.rename(root)
        # The tests are of the installed Django, not of a copy beside them.
        (root / "django").rename(root / "django-source")
    return root / "tests"


def run(
    options: argparse.Namespace,
    tests: pathlib.Path,
    apps: list[str],
    engine: str,
    work: pathlib.Path,
    directory: str,
) -> dict[str, str]:
    """What became of each test with this backend."""
    name = "stock" if engine == STOCK else engine.replace(".", "-")
    databases = pathlib.Path(directory, name)
    databases.mkdir()
    results, log = work / f"{name}.json", work / f"{name}.log"
    results.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "DJANGO_SUITE_ENGINE": engine,
        "DJANGO_SUITE_DIRECTORY": str(databases),
        "DJANGO_SUITE_RESULTS": str(results),
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])
        ),
    }
    print(f"Django {VERSION} with {engine}: {len(apps)} apps, see {log}", flush=True)
    with killing(options, engine, databases), open(log, "w", encoding="utf-8") as output:
        subprocess.run(
            [sys.executable, "-W", "ignore", "runtests.py", "--settings=django_suite.settings",
             "--noinput", f"--parallel={options.parallel}", *apps],
            cwd=tests, env=environment, stdout=output, stderr=subprocess.STDOUT,
            timeout=options.timeout,
        )
    if not results.is_file():
        sys.exit(f"the run with {engine} came to no end; {log} says why")
    outcomes: dict[str, str] = json.loads(results.read_text("utf-8"))
    return outcomes


@contextlib.contextmanager
def killing(
    options: argparse.Namespace, engine: str, databases: pathlib.Path
) -> Iterator[None]:
    """Appliers die meanwhile, if that is asked for."""
    if options.kill is None or engine != STORE:
        yield
        return
    killer = Killer(databases, options.kill)
    killer.start()
    try:
        yield
    finally:
        killer.stop()
    options.killed = killer.killed


def compared(expected: dict[str, str], found: dict[str, str], engine: str) -> int:
    names = sorted(expected.keys() | found.keys())
    differing = [name for name in names if expected.get(name) != found.get(name)]
    excused = [name for name in differing if name in EXCUSED]
    different = [name for name in differing if name not in EXCUSED]
    for name in differing:
        why = f" (no failure: {EXCUSED[name]})" if name in EXCUSED else ""
        before, after = (outcomes.get(name, "not run") for outcomes in (expected, found))
        print(f"{name}: {before} with {STOCK}, {after} with {engine}{why}")
    same = len(names) - len(differing)
    failed = sum(outcome == "failed" for outcome in expected.values())
    print(f"{failed} of these fail with {STOCK} on a file, too" if failed else "all succeed there")
    print(f"{same} passed, {len(different)} failed, {len(excused)} differ and may")
    # A run that found no tests has compared nothing.
    return 0 if same and not different else 1


if __name__ == "__main__":
    sys.exit(main())
