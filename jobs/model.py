"""The parameters of a job as a pydantic model, for whoever describes them to others: the API's schema.

The kinds in `jobs.kinds` do the work, here as everywhere. Imported when it is needed: pydantic takes 50 ms.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic import create_model as pydantic_create_model

from jobs import parameters


def create_model(name: str, fields: Iterable[parameters.Field]) -> type[BaseModel]:
    """Return the model of a job's parameters: the same values are accepted, and as the same, as by `Job.validate`."""
    definitions: dict[str, Any] = {}
    for field in fields:
        parameter = field.parameter
        # pydantic keeps names such as "json" and "copy" for itself, and warns.
        own_name = f"{parameter.name}_" if hasattr(BaseModel, parameter.name) else parameter.name
        default = ... if parameter.required else field.parse(parameter.default)
        annotation = Any if parameter.secret else field.annotation  # a secret's name fits where its text does
        accepted: Any = Annotated[annotation, BeforeValidator(field.parse), PlainSerializer(field.to_json)]
        if parameter.kind == "duration":  # pydantic would describe it as ISO 8601's "PT10M"
            accepted = Annotated[accepted, WithJsonSchema({"type": "string", "examples": ["10m", "1h 30m"]})]
        elif parameter.kind == "secret":
            accepted = Annotated[accepted, WithJsonSchema(_SECRET)]
        elif parameter.kind == "size":
            accepted = Annotated[accepted, WithJsonSchema({"type": "string", "examples": ["500MB", "20GB"]})]
        definitions[own_name] = (
            accepted,
            Field(default, alias=parameter.name, title=parameter.label, description=parameter.help or None),
        )
    config = ConfigDict(extra="forbid", protected_namespaces=(), populate_by_name=False)
    return pydantic_create_model(f"{name}_parameters", __config__=config, **definitions)


_SECRET = {
    "anyOf": [
        {"type": "string", "format": "password", "writeOnly": True},
        {"type": "object", "properties": {"secret": {"type": "string"}}, "required": ["secret"]},
    ]
}
