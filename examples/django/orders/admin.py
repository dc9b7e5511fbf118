"""The admin's view of the models."""

from django.contrib import admin

from orders.models import Customer, Order, OrderLine, Product


class OrderLineInline(admin.TabularInline):
    model = OrderLine
    extra = 0


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ["reference", "customer", "placed"]
    list_select_related = ["customer"]
    inlines = [OrderLineInline]


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ["name", "stock"]
    search_fields = ["name"]


admin.site.register(Customer)
