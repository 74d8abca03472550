"""pydantic's constraints on a parameter, such as `Field(ge=1)`, in our own words.

Imported only for a parameter that has some: pydantic takes 50 ms.
"""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from jobs.kinds import Refused, show

_REASONS = {
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "multiple_of": "it must be a multiple of {multiple_of}",
    "string_too_short": "it must have at least {min_length} characters",
    "string_too_long": "it must have at most {max_length} characters",
    "string_pattern_mismatch": "it must match the pattern {pattern}",
    "too_short": "it must have at least {min_length} entries",
    "too_long": "it must have at most {max_length} entries",
    "path_not_file": "there is no such file",
    "path_not_directory": "there is no such folder",
    "path_exists": "it exists already",
    "value_error": "{error}",
    "assertion_error": "{error}",
}


def constrain(annotation: Any, value: Any) -> Any:
    """Return what pydantic makes of *value*, which has the right type already; Refused in our own words."""
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        reason = _REASONS.get(first["type"], "it does not meet the job's own rule for it")
        at = [part for part in first["loc"] if isinstance(part, int)]
        raise Refused(
            reason.format(**first.get("ctx", {})),
            at=f"item {at[0] + 1}" if at else "",
            shown=show(first["input"]) if at else "",
        ) from None
