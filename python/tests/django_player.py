"""A process of a site, played by a test: it executes each line of its input and answers in JSON."""

import json
import sys
import traceback

import django
from django.conf import settings

store, options = sys.argv[1], json.loads(sys.argv[2])
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "sluice.django",
            "NAME": store,
            "OPTIONS": options,
            "ATOMIC_REQUESTS": True,
        }
    },
    INSTALLED_APPS=["django_site"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    ROOT_URLCONF="django_site.urls",
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="for tests alone",
    USE_TZ=True,
)
django.setup()

names: "dict[str, object]" = {}
exec(
    "import sluice.django\n"
    "from django.db import connection, transaction\n"
    "from django.test import Client\n"
    "from django_site.models import Account, Entry\n",
    names,
)
for line in sys.stdin:
    answer: "dict[str, object]" = {}
    try:
        exec(json.loads(line), names)
        # What the code has left under this name is its result.
        answer["result"] = names.pop("result", None)
    except Exception as error:
        answer = {
            "error": type(error).__name__, "message": str(error), "trace": traceback.format_exc()
        }
    print(json.dumps(answer), flush=True)
