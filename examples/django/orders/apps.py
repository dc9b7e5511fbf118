"""The app's name."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "orders"
