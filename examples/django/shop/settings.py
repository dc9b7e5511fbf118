"""A site whose database is a store: ENGINE and NAME say so."""

import os

DATABASES = {
    "default": {
        "ENGINE": "sluice.django",
        "NAME": os.environ.get("SHOP_STORE", "/mnt/efs/shop"),
        # A view is one transaction. A POST takes the turn as it begins; a GET does not take it.
        "ATOMIC_REQUESTS": True,
        # Where no applier runs, as on AWS Lambda alone: who writes leads meanwhile.
        "OPTIONS": {"assist": bool(os.environ.get("SHOP_ASSIST"))},
    }
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "orders",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
USE_TZ = True
# For a site on one's own machine. A real one has its secret from outside.
SECRET_KEY = os.environ.get("SHOP_SECRET", "not a secret")
