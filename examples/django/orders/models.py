"""Products, customers, and orders with their lines."""

from django.db import models


class Product(models.Model):
    name = models.CharField(max_length=100, unique=True)
    # What a product has is its own business: {"colour": "red", "sizes": [38, 40]}.
    attributes = models.JSONField(default=dict, blank=True)
    stock = models.PositiveIntegerField(default=0)

    def __str__(self):
        return self.name


class Customer(models.Model):
    name = models.CharField(max_length=100, unique=True)

    def __str__(self):
        return self.name


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="orders")
    products = models.ManyToManyField(Product, through="OrderLine")
    # Made by who orders, so that an order that is sent twice is placed once.
    reference = models.CharField(max_length=50, unique=True)
    placed = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return self.reference


class OrderLine(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.PositiveIntegerField()
