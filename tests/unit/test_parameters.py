"""Signatures become typed parameters, and values are judged in sentences."""

import json
from collections.abc import Callable
from datetime import timedelta
from enum import Enum, IntEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, SecretStr, ValidationError

from jobs import Check, Code, Label, Lines, Size
from jobs.durations import format_duration, parse_duration
from jobs.errors import JobDefinitionError, ParameterError
from jobs.registry import Declaration, Job
from jobs.sizes import format_size, parse_size


class Colour(Enum):
    RED = "red"
    DARK_BLUE = "dark blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


def job_of(function, name=None):
    return Job(Declaration(function, name, None, "My jobs", None, {}), "tidy.py")


def everything(
    text: str,
    lines: Annotated[str, Lines()],
    code: Annotated[str, Code("python")],
    number: int,
    decimal: float,
    switch: bool,
    choice: Literal["a", "b"],
    colour: Colour,
    path: Path,
    duration: timedelta,
    size: Annotated[int, Size()],
    secret: SecretStr,
    names: list[str],
    numbers: tuple[int, ...],
    level: Level = Level.LOW,
    mapping: dict[str, str] = {},  # noqa: B006
    maybe: int | None = None,
): ...


EVERYTHING = {
    "text": "x", "lines": "x\ny", "code": "1 + 1", "number": 4, "decimal": 2.5, "switch": True, "choice": "a",
    "colour": "red", "path": "some/where", "duration": "10m", "size": "20GB", "secret": "s3cret", "names": ["x", "y"], "numbers": [1, 2],
}  # fmt: skip


def test_each_type_has_its_kind():
    assert {each.name: each.kind for each in job_of(everything).parameters} == {
        "text": "text", "lines": "lines", "code": "code", "number": "number", "decimal": "decimal", "switch": "switch",
        "choice": "choice", "colour": "choice", "path": "path", "duration": "duration", "size": "size",
        "secret": "secret",
        "names": "list", "numbers": "list", "level": "choice", "mapping": "mapping", "maybe": "number",
    }  # fmt: skip


def test_validation_gives_json_with_the_defaults_filled_in():
    checked = job_of(everything).validate(EVERYTHING)
    assert checked == EVERYTHING | {"level": 1, "mapping": {}, "maybe": None}
    assert json.loads(json.dumps(checked)) == checked


def test_the_function_gets_python_values():
    arguments = job_of(everything).arguments(EVERYTHING)
    assert arguments["path"] == Path("some/where")
    assert arguments["duration"] == timedelta(minutes=10)
    assert arguments["size"] == 20_000_000_000
    assert arguments["secret"].get_secret_value() == "s3cret"
    assert arguments["colour"] is Colour.RED
    assert arguments["level"] is Level.LOW
    assert arguments["numbers"] == (1, 2)


def test_what_validation_returns_is_valid_again_and_unchanged():
    job = job_of(everything)
    checked = job.validate(EVERYTHING)
    assert job.validate(checked) == checked


def test_the_pydantic_model_accepts_and_gives_the_same():
    job = job_of(everything)
    model = job.model.model_validate(EVERYTHING)
    assert model.model_dump(mode="json", by_alias=True) == job.validate(EVERYTHING)
    with pytest.raises(ValidationError):
        job.model.model_validate(EVERYTHING | {"number": "four"})
    with pytest.raises(ValidationError):
        job.model.model_validate(EVERYTHING | {"unknown": 1})


def test_the_model_takes_names_that_pydantic_keeps_for_itself():
    def awkward(json: str, copy: int = 1, model_config: str = "x"): ...

    schema = job_of(awkward).model.model_json_schema()
    assert set(schema["properties"]) == {"json", "copy", "model_config"}
    assert schema["required"] == ["json"]


def test_the_path_of_the_home_folder_is_kept_as_typed_and_resolved_for_the_call(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("USERPROFILE", "/home/somebody")

    def tidy(folder: Path): ...

    assert job_of(tidy).validate({"folder": "~/x"}) == {"folder": "~/x"}
    assert job_of(tidy).arguments({"folder": "~/x"}) == {"folder": Path("/home/somebody/x")}


@pytest.mark.parametrize(
    ("annotation", "value", "stored"),
    [
        pytest.param(int, "30", 30, id="number from a form"),
        pytest.param(int, 30.0, 30, id="number from JavaScript"),
        pytest.param(float, "2.5", 2.5, id="decimal from a form"),
        pytest.param(float, 3, 3.0, id="whole number for a decimal"),
        pytest.param(bool, "on", True, id="switch from a form"),
        pytest.param(timedelta, 90, "1m 30s", id="duration in seconds"),
        pytest.param(timedelta, "1 hour 30 minutes", "1h 30m", id="duration in words"),
        pytest.param(Level, "2", 2, id="choice of a number from a form"),
        pytest.param(Colour, Colour.RED, "red", id="the member itself"),
        pytest.param(int | None, "", None, id="empty field of an optional number"),
        pytest.param(Path | None, "", None, id="empty field of an optional path"),
        pytest.param(str | None, None, None, id="nothing for an optional text"),
        pytest.param(set[str], ["b", "a"], ["a", "b"], id="a set has a stable order"),
        pytest.param(dict[str, int], {"a": "1"}, {"a": 1}, id="mapping of numbers"),
    ],
)
def test_values_are_taken_as_forms_and_json_send_them(annotation, value, stored):
    def one(it): ...

    one.__annotations__ = {"it": annotation}
    assert job_of(one).validate({"it": value}) == {"it": stored}


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        pytest.param(int, "four", "cannot use it = 'four': a whole number is needed, such as 30", id="word for number"),
        pytest.param(int, 4.5, "cannot use it = 4.5: a whole number is needed, such as 30", id="fraction for number"),
        pytest.param(int, True, "cannot use it = true: a whole number is needed, such as 30", id="switch for number"),
        pytest.param(int, "1_000", "cannot use it = '1_000': a whole number is needed, such as 30", id="underscore"),
        pytest.param(int, None, "cannot use it = nothing: a whole number is needed, such as 30", id="null for number"),
        pytest.param(float, "nan", "cannot use it = 'nan': a number is needed, such as 2.5", id="NaN"),
        pytest.param(float, 10**400, f"cannot use it = 1{'0' * 58}…: a number is needed, such as 2.5", id="too large"),
        pytest.param(str, 80, 'cannot use it = 80: a text is needed; write "80", with quotes', id="number for text"),
        pytest.param(str, "", "cannot use it = '': it must not be empty", id="empty where required"),
        pytest.param(bool, "maybe", "cannot use it = 'maybe': true or false is needed", id="word for switch"),
        pytest.param(bool, 1, "cannot use it = 1: true or false is needed", id="number for switch"),
        pytest.param(
            Literal["GET", "POST"], "post", "cannot use it = 'post': one of GET, POST is needed; did you mean \"POST\"?", id="choice"
        ),
        pytest.param(
            timedelta, "10 parsecs", "cannot use it = '10 parsecs': a duration is needed, such as \"30s\", \"10m\" or \"1h 30m\"", id="unit"
        ),
        pytest.param(timedelta, -1, "cannot use it = -1: a duration cannot be negative", id="negative duration"),
        pytest.param(list[int], [1, "x"], "cannot use it, item 2 = 'x': a whole number is needed, such as 30", id="item"),
        pytest.param(list[str], "a b", "cannot use it = 'a b': a list is needed, such as [\"a\", \"b\"]", id="text for list"),
        pytest.param(
            dict[str, str], {"k": 1}, "cannot use it, the value of 'k' = 1: a text is needed; write \"1\", with quotes", id="value"
        ),
        pytest.param(
            dict[str, str], ["k"], "cannot use it = ['k']: names with values are needed, such as {\"name\": \"value\"}", id="no mapping"
        ),
        pytest.param(Path, "", "cannot use it = '': the path of a file or folder is needed, as a text", id="empty path"),
        pytest.param(
            Annotated[int, Field(ge=1)], 0, "cannot use it = 0: it must be at least 1", id="pydantic's constraint"
        ),
        pytest.param(
            list[Annotated[int, Field(ge=1)]], [5, 0], "cannot use it, item 2 = 0: it must be at least 1", id="constraint on an item"
        ),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_name_value_and_what_is_allowed(annotation, value, sentence):
    def one(it): ...

    one.__annotations__ = {"it": annotation}
    with pytest.raises(ParameterError) as refused:
        job_of(one).validate({"it": value})
    assert refused.value.problems == {"it": sentence}


def test_all_problems_are_reported_at_once_with_near_names():
    def tidy(folder: Path, keep_days: int = 30, size: float = 1): ...

    with pytest.raises(ParameterError) as refused:
        job_of(tidy).validate({"keep_day": 3, "size": "big"})
    assert refused.value.problems == {
        "keep_day": "cannot use the parameter 'keep_day': there is none of this name; did you mean keep_days?",
        "folder": "cannot do without folder: it has no default; the path of a file or folder is needed, as a text",
        "size": "cannot use size = 'big': a number is needed, such as 2.5",
    }


def test_values_that_are_no_mapping_are_refused():
    with pytest.raises(ParameterError, match="cannot use the parameters \\[1\\]: names with values are needed"):
        job_of(everything).validate([1])


def test_a_text_that_cannot_be_stored_is_refused():
    def note(text: str): ...

    for text, reason in [("a\0b", "NUL"), ("\ud800", "surrogate")]:
        with pytest.raises(ParameterError, match=reason):
            job_of(note).validate({"text": text})


def test_a_secret_is_never_repeated_in_a_sentence():
    def login(key: Annotated[SecretStr, Field(min_length=20)], keys: list[SecretStr], named: dict[str, SecretStr]): ...

    with pytest.raises(ParameterError) as refused:
        job_of(login).validate({"key": "hunter2", "keys": ["fine", 7331], "named": {"a": 7331}})
    assert set(refused.value.problems) == {"key", "keys", "named"}
    assert "hunter2" not in str(refused.value)
    assert "7331" not in str(refused.value)


def test_the_password_of_a_web_address_is_never_repeated_in_a_sentence():
    def fetch(count: int): ...

    with pytest.raises(ParameterError, match=r"cannot use count = 'http://\*{8}@host/': a whole number"):
        job_of(fetch).validate({"count": "http://me:hidden@host/"})


def test_a_check_of_the_job_s_own_refuses_with_its_reason():
    def even(number):
        if number % 2:
            raise ValueError("it must be even")

    def pairs(count: Annotated[int, Check(even)], counts: list[Annotated[int, Check(even)]] = []): ...  # noqa: B006

    job = job_of(pairs)
    assert job.validate({"count": 2, "counts": [2, 4]}) == {"count": 2, "counts": [2, 4]}
    with pytest.raises(ParameterError) as refused:
        job.validate({"count": 3, "counts": [2, 5]})
    assert refused.value.problems == {
        "count": "cannot use count = 3: it must be even",
        "counts": "cannot use counts = [2, 5]: it must be even",
    }


def test_labels_and_help_come_from_names_marks_and_docstring():
    def fetch(url: str, verify_tls: bool = True, shell: Annotated[bool, Label("Use the shell")] = False, bare: int = 1):
        """Fetch a page,
        and say so.

        More about it.

        Args:
            url: Where it is;
                on a second line.
            verify_tls (bool): Check: the certificate.
            shell: Rarely needed.

        Returns:
            bare: not a parameter's help.
        """

    job = job_of(fetch)
    assert (job.title, job.summary) == ("Fetch", "Fetch a page, and say so.")
    assert job.description.endswith("More about it.")
    assert [(each.label, each.help) for each in job.parameters] == [
        ("URL", "Where it is; on a second line."),
        ("Verify TLS", "Check: the certificate."),
        ("Use the shell", "Rarely needed."),
        ("Bare", ""),
    ]


def test_choices_have_values_and_labels():
    choices = {each.name: each.choices for each in job_of(everything).parameters if each.choices}
    assert choices == {
        "choice": (("a", "a"), ("b", "b")),
        "colour": (("red", "Red"), ("dark blue", "Dark blue")),
        "level": (("1", "Low"), ("2", "High")),
    }


def test_a_decorator_with_wraps_shows_the_inner_signature():
    def noisy(function: Callable[..., None]):
        @wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @noisy
    def tidy(keep_days: int = 30): ...

    assert [each.name for each in job_of(tidy).parameters] == ["keep_days"]


def _refused_functions():  # noqa: C901 - a table of functions
    def star(*names: str): ...
    def double_star(**options: str): ...
    def positional(name: str, /): ...
    def bare(name): ...
    def union(name: int | str): ...
    def bare_list(name: list): ...
    def wrong_default(name: int = "x"): ...
    def none_default(name: int = None): ...  # noqa: RUF013 - the mistake that is meant
    def unread(name: "Missing"): ...  # noqa: F821
    def hidden(_name: str): ...
    async def later(): ...
    def lazily():
        yield

    yield star, r"star\(\) .*'\*names'.*use list\[str\]"
    yield double_star, r"double_star\(\) .*'\*\*options'.*use dict\[str, str\]"
    yield positional, r"positional\(\) .*'name' is positional-only"
    yield bare, r"bare\(\) .*'name' has no type; write name: str"
    yield union, r"union\(\) .*'name' has the type int \| str, which is none of"
    yield bare_list, r"bare_list\(\) .*'name' has the type list, .*write list\[str\]"
    yield wrong_default, r"wrong_default\(\) .*'name' has a default that does not fit: .*'x': a whole number"
    yield none_default, r"none_default\(\) .*write name: … \| None"
    yield unread, r"unread\(\) .*'name' has a type that cannot be read: name 'Missing' is not defined"
    yield hidden, r"hidden\(\) .*'_name' begins with an underscore"
    yield later, r"later\(\) as a job: it is async"
    yield lazily, r"lazily\(\) as a job: it is a generator"


@pytest.mark.parametrize(
    ("function", "pattern"), [pytest.param(*case, id=case[0].__name__) for case in _refused_functions()]
)
def test_a_function_that_no_form_could_ask_for_is_refused_by_name(function, pattern):
    with pytest.raises(JobDefinitionError, match=pattern):
        job_of(function)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("1h 30m", 5400), ("500ms", 0.5), ("90", 90), ("1.5h", 5400), ("2 days, 1 hour", 176400), ("0", 0)],
)
def test_durations_are_read_as_people_write_them_and_written_back(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert parse_duration(format_duration(parse_duration(text))) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["", "m", "10x", "10m and more", "1e9", True, None, float("nan"), "9" * 13 + "w", 1e300]
)
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValueError, match="a duration is needed"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("7", 7),
        ("1.5 kB", 1500),
        ("500MB", 500_000_000),
        ("20g", 20 * 10**9),
        ("1GiB", 2**30),
        (9, 9),
        ("3 bytes", 3),
    ],
)
def test_sizes_are_read_as_people_write_them_and_written_back(text, size):
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("value", ["", "MB", "10 XB", "-1", -1, True, None, 1.5, "1 MB 2 kB", "9" * 16])
def test_what_is_no_size_is_refused(value):
    with pytest.raises(ValueError, match="a size is needed"):
        parse_size(value)
