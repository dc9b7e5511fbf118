"""`manage.py stock NUMBER PRODUCT…`: so many of each are there from now on."""

from django.core.management.base import BaseCommand

from orders.models import Product


class Command(BaseCommand):
    help = "Sets how many there are of each product, and makes those that there are not yet."

    def add_arguments(self, parser):
        parser.add_argument("number", type=int)
        parser.add_argument("products", nargs="+", metavar="PRODUCT")

    def handle(self, *, number, products, **options):
        for name in products:
            Product.objects.update_or_create(name=name, defaults={"stock": number})
