"""Django's own test suite, on its backend with a file and on another, compared test by test."""
