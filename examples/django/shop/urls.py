"""Where what is."""

from django.contrib import admin
from django.urls import path

from orders import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("products", views.products),
    path("orders", views.place_order),
]
