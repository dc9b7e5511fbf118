"""An account, whose balance is read and written back, and the entries that must add up to it."""

from django.db import models


class Account(models.Model):
    name = models.CharField(max_length=50, unique=True)
    balance = models.IntegerField(default=0)
    notes = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name


class Entry(models.Model):
    account = models.ForeignKey(Account, on_delete=models.CASCADE)
    amount = models.IntegerField()
