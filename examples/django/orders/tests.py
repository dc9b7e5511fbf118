"""The site's own tests: `python manage.py test`, in memory as on SQLite."""

from django.contrib.auth.models import User
from django.test import TestCase

from orders.models import Customer, Order, Product


class OrderTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.bolt = Product.objects.create(name="bolt", stock=5, attributes={"sizes": [3, 4]})
        Product.objects.create(name="nut", stock=1)

    def place(self, reference="o-1", **lines):
        body = {"reference": reference, "customer": "Ada", "lines": lines}
        return self.client.post("/orders", body, content_type="application/json")

    def test_an_order_takes_from_the_stock(self):
        self.assertEqual(self.place(bolt=2, nut=1).status_code, 201)
        order = Order.objects.get(reference="o-1")
        self.assertEqual(order.products.count(), 2)
        self.bolt.refresh_from_db()
        self.assertEqual(self.bolt.stock, 3)

    def test_one_that_is_sent_twice_is_placed_once(self):
        self.place(bolt=2)
        self.assertEqual(self.place(bolt=2).json()["placed"], "before")
        self.bolt.refresh_from_db()
        self.assertEqual(self.bolt.stock, 3)

    def test_one_that_cannot_be_served_leaves_nothing(self):
        self.assertEqual(self.place(bolt=2, nut=2).status_code, 409)
        self.assertEqual(Order.objects.count() + Customer.objects.count(), 0)
        self.bolt.refresh_from_db()
        self.assertEqual(self.bolt.stock, 5)

    def test_products_are_listed_and_found_by_what_they_have(self):
        products = self.client.get("/products").json()["products"]
        self.assertEqual([product["name"] for product in products], ["bolt", "nut"])
        self.assertEqual(Product.objects.get(attributes__sizes__0=3), self.bolt)

    def test_the_admin_writes_an_order_with_its_lines(self):
        self.client.force_login(User.objects.create_superuser("ada"))
        customer = Customer.objects.create(name="Ada")
        answer = self.client.post(
            "/admin/orders/order/add/",
            {
                "customer": customer.pk,
                "reference": "o-2",
                "lines-TOTAL_FORMS": 1,
                "lines-INITIAL_FORMS": 0,
                "lines-0-product": self.bolt.pk,
                "lines-0-quantity": 2,
            },
        )
        self.assertRedirects(answer, "/admin/orders/order/")
        self.assertEqual(Order.objects.get(reference="o-2").lines.get().quantity, 2)
