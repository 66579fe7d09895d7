"""zerostate.errors: the tree is what its docstring draws."""

import re

from zerostate import errors
from zerostate.errors import ERROR_CODES, ZeroStateError


def subclasses(cls):
    found = [cls]
    for sub in cls.__subclasses__():
        found += subclasses(sub)
    return [sub for sub in found if sub.__module__ == "zerostate.errors"]


def test_every_error_has_a_code_of_its_own():
    codes = [cls.code for cls in subclasses(ZeroStateError)]

    assert len(codes) == len(set(codes))
    assert set(codes) <= ERROR_CODES


def test_the_docstring_draws_every_error_and_marks_the_retryable_ones():
    drawn = dict(re.findall(r"^ *[*.+-] (\w+Error)(\*?)", errors.__doc__, re.MULTILINE))

    assert drawn == {
        cls.__name__: "*" if cls.retryable else "" for cls in subclasses(ZeroStateError)
    }
