"""Parameters in an address: a name that is not known is a mistake, and said so."""

from django.http import HttpRequest
from pydantic import BaseModel

from jobs.errors import near_names
from jobs.kinds import show
from scheduler_app.api import problems, reading
from scheduler_app.api.problems import At


def refuse_unknown(request: HttpRequest, model: type[BaseModel] | None = None) -> None:
    """Raise Problem for parameters that *model* does not know, and for text that no database could hold."""
    known = list(model.model_fields) if model else []
    wrong = []
    for name, values in request.GET.lists():
        if name not in known:
            near = near_names(name, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known) or 'none'}"
            wrong.append(At(f"cannot use the parameter {show(name)}: {hint}", parameter=name))
        for value in values:
            try:
                reading.check_text(str(value))
            except ValueError as error:
                wrong.append(At(f"cannot use {name}: {error}", parameter=name))
    if wrong:
        raise problems.unfit(wrong)
