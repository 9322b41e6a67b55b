"""Errors of the curation arm, named by the reaction they call for.

FalconmixError            one line for the user, no traceback
├── UsageError            wrong usage or configuration: nothing was done        exit 2
├── WorkError             the work failed; what was finished is kept             exit 1
└── GuardrailError        the run was stopped before it did harm                exit 3
"""

from __future__ import annotations


class FalconmixError(Exception):
    """An error whose message is meant for the user: it names the thing and the mend."""

    exit_code = 1


class UsageError(FalconmixError, ValueError):
    """Wrong usage or configuration; nothing was done."""

    exit_code = 2


class WorkError(FalconmixError):
    """The work failed; finished units are kept and the run can be resumed."""

    exit_code = 1


class GuardrailError(FalconmixError):
    """A guardrail stopped the run."""

    exit_code = 3
