"""The built-in job that runs a script whose text is kept in the schedule."""

from pathlib import Path
from typing import Annotated

from jobs import Check, Code, JobFailed, Label, Lines, SecretText, job
from jobs.builtin._programs import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    check_accepted,
    check_environment,
    check_folder,
    judge,
    run_program,
    with_secrets,
)
from scheduler_app.platforms import scripts


@job(title="Run a script", group="Commands", permission="jobs.run_command")
def run_script(
    script: Annotated[str, Code("shell")],
    interpreter: scripts.Interpreter = scripts.DEFAULT_INTERPRETER,
    arguments: list[str] = [],  # noqa: B006 - only a form's default; every call passes its own
    folder: Annotated[Path | None, Label("Working folder")] = None,
    environment: Annotated[dict[str, str], Label("Environment variables"), Check(check_environment)] = {},  # noqa: B006 - as above
    secrets: Annotated[dict[str, SecretText], Label("Secrets as environment variables"), Check(check_environment)] = {},  # noqa: B006 - as above
    stdin: Annotated[str, Lines(), Label("Standard input")] = "",
    accepted_exit_codes: Annotated[tuple[int, ...], Check(check_accepted)] = (0,),
) -> None:
    """Run a script that is written here, by the shell, Python, PowerShell or cmd.

    The output of the script is the output of the run, and its exit code is the run's.

    Args:
        script: Its text. A shell goes on after a command that fails, unless the script begins with: set -e
        interpreter: What reads the script; python is the scheduler's own Python.
        arguments: What the script gets as $1, $2 … (in Python: sys.argv).
        folder: Where the script runs; it must exist. Empty: where the scheduler runs.
        environment: Variables that the script gets in addition to the scheduler's own.
        secrets: Passwords and the like, which the script reads from variables of these names.
        stdin: A text that the script reads. Empty: nothing.
        accepted_exit_codes: The exit codes that mean success.
    """
    check_folder(folder, "the script")
    try:
        with scripts.prepared(script, interpreter) as prepared:
            code = run_program(
                [*prepared.arguments, *arguments],
                folder=folder,
                environment=with_secrets(environment, secrets),
                text=stdin,
                descriptors=prepared.descriptors,
            )
    except scripts.NoInterpreterError as error:
        raise JobFailed(str(error), NOT_FOUND) from error
    except UnicodeEncodeError as error:
        raise JobFailed(
            f"cannot write the script for {interpreter}: it holds {error.object[error.start]!r}, which this machine's "
            f"{error.encoding} has no sign for; remove it, or choose another interpreter"
        ) from error
    except OSError as error:
        raise JobFailed(f"cannot run the script by {interpreter}: {error.strerror}", NOT_EXECUTABLE) from error
    judge(code, accepted_exit_codes, "the script")
