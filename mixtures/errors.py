"""What can go wrong for a user of the mixture, named by what has to be mended.

MixtureError
 ├─ RecipeError      the recipe
 ├─ InputError       the documents to be tokenised
 ├─ TokenizerError   the tokenizer
 ├─ TokenFileError   the token files
 ├─ SupplyError      the recipe asks for what the token files do not hold
 └─ StoreError       the object store that the token files lie in: it does not answer, the work failed (exit 1)
     └─ StoreAccessError   it is not let in, or cannot be used as it was asked for
"""

from __future__ import annotations


class MixtureError(ValueError):
    """Something that a user has to mend; the message names it and the mend."""

    exit_code = 2


class RecipeError(MixtureError):
    """A recipe that cannot be used as it is written."""


class InputError(MixtureError):
    """Documents that cannot be tokenised: a missing path, a missing column, a broken line."""


class TokenizerError(MixtureError):
    """A tokenizer that cannot be used, or another one than that of the token files."""


class TokenFileError(MixtureError):
    """A token file that is missing, foreign or cut short."""


class SupplyError(MixtureError):
    """A component with too few tokens for what the recipe wants of it."""


class StoreError(MixtureError):
    """An object store that does not give what it has, however often it is asked."""

    exit_code = 1


class StoreAccessError(StoreError):
    """An object store that refuses, or cannot be reached with what it was given: address, credentials, cache."""

    exit_code = 2
