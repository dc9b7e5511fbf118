"""What a site may have: rows that are added, and a number that is read, changed and written."""

from django.db import models


class Entry(models.Model):
    author = models.CharField(max_length=100, db_index=True)
    text = models.TextField()
    created = models.DateTimeField(auto_now_add=True)


class Account(models.Model):
    balance = models.IntegerField()
