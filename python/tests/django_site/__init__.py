"""A site for the tests of `sluice.django`: two models, some views, and settings made by each test."""
