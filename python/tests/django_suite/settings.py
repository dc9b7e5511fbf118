"""Settings for one run of Django's suite; the environment says on which backend and where."""

import os

import django

_ENGINE = os.environ["DJANGO_SUITE_ENGINE"]
_DIRECTORY = os.environ["DJANGO_SUITE_DIRECTORY"]
_SUFFIX = "" if _ENGINE == "sluice.django" else ".sqlite3"

# Tests that count statements or name them see the same ones then, where Django can be told.
_OPTIONS = {"transaction_mode": "IMMEDIATE"} if django.VERSION >= (5, 1) else {}

DATABASES = {
    alias: {
        "ENGINE": _ENGINE,
        "NAME": os.path.join(_DIRECTORY, alias + _SUFFIX),
        "TEST": {"NAME": os.path.join(_DIRECTORY, f"test_{alias}{_SUFFIX}")},
        "OPTIONS": {"timeout": 30, **_OPTIONS},
    }
    for alias in ["default", "other"]
}
SECRET_KEY = "for tests alone"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "django_suite.runner.Runner"
