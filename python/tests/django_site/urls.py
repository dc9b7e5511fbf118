"""Views that read, that write, and that choose how they begin."""

import sluice.django
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_site.models import Account


def balance(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(Account.objects.get(name="a").balance))


def deposit(request: HttpRequest) -> HttpResponse:
    account = Account.objects.get(name="a")
    account.balance += 1
    account.save()
    return HttpResponse(str(account.balance))


@transaction.non_atomic_requests
def deposit_by_get(request: HttpRequest) -> HttpResponse:
    with sluice.django.immediate():
        return deposit(request)


def nested(request: HttpRequest) -> HttpResponse:
    with sluice.django.immediate():
        return HttpResponse("not reached in a GET request")


urlpatterns = [
    path("balance", balance),
    path("deposit", deposit),
    path("deposit-by-get", deposit_by_get),
    path("nested", nested),
]
