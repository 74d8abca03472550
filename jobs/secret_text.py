"""The type of a parameter that holds a secret, for jobs that do without pydantic: importing that takes 50 ms."""


class SecretText:
    """A text that str() and repr() never show; pydantic's SecretStr in small, and used the same way."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        return self._text

    def __str__(self) -> str:
        return "********" if self._text else ""

    def __repr__(self) -> str:
        return f"SecretText('{self}')"

    def __len__(self) -> int:
        return len(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)
