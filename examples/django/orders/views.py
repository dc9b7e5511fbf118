"""What there is, and how it is ordered."""

import json

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from orders.models import Customer, Order, OrderLine, Product


@require_GET
def products(request: HttpRequest) -> JsonResponse:
    rows = Product.objects.order_by("name").values("name", "stock", "attributes")
    return JsonResponse({"products": list(rows)})


@csrf_exempt
@require_POST
def place_order(request: HttpRequest) -> JsonResponse:
    """Places an order: `{"reference": …, "customer": …, "lines": {PRODUCT: QUANTITY}}`.

    The stock is read, judged and written back, which is right because the request has the turn: nobody
    commits in between.
    """
    wanted = json.loads(request.body)
    customer, _ = Customer.objects.get_or_create(name=wanted["customer"])
    order, is_new = Order.objects.get_or_create(
        reference=wanted["reference"], defaults={"customer": customer}
    )
    if not is_new:
        return JsonResponse({"order": order.pk, "placed": "before"})
    for name, quantity in wanted["lines"].items():
        product = Product.objects.get(name=name)
        if product.stock < quantity:
            # The customer and the order go as well: the request is one transaction.
            transaction.set_rollback(True)
            return JsonResponse({"missing": name}, status=409)
        product.stock -= quantity
        product.save()
        OrderLine.objects.create(order=order, product=product, quantity=quantity)
    return JsonResponse({"order": order.pk, "placed": "now"}, status=201)
