"""Laboratories whose programs are forked."""

from tests.lab.conftest import _forked as _forked
