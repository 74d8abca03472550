"""The built-in job that tells another program something through its web hook, signed so that it can be believed."""

import hashlib
import hmac
import json
import os
from datetime import timedelta
from typing import Annotated

from jobs import Check, Code, JobFailed, Label, SecretText, job
from jobs.builtin._files import say
from jobs.builtin._web import Call, answer_in_time, check_address, check_headers, failures, masked, show


def _check_json(text: str) -> None:
    if not text.strip():
        return
    try:
        json.loads(text)
    except ValueError as error:
        raise ValueError(f'it is no JSON ({error}); write it such as {{"text": "done"}}') from None


@job(title="Call a web hook", group="Web")
def call_webhook(
    url: Annotated[str, Label("Address"), Check(check_address)],
    content: Annotated[str, Code("json"), Check(_check_json)] = "",
    secret: Annotated[SecretText | None, Label("Secret for the signature")] = None,
    headers: Annotated[dict[str, str], Check(check_headers)] = {},  # noqa: B006 - only a form's default; every call passes its own
    timeout: Annotated[timedelta, Label("Time-out")] = timedelta(seconds=30),
) -> None:
    """Post JSON to a web hook, of another scheduler, say, and fail unless it is accepted.

    With a secret the content is signed as GitHub does it: the header X-Hub-Signature-256 holds its HMAC-SHA256, so that
    whoever knows the secret can tell that it comes from here and is unchanged. Redirects are not followed.

    Args:
        url: The hook's address.
        content: The JSON that is sent. Empty: the run's number, schedule, due time and attempt.
        secret: What the other side was given, too.
        headers: Sent in addition to the usual ones.
        timeout: For the whole call.
    """
    body = (content if content.strip() else _about_this_run()).encode()
    headers = {"Content-Type": "application/json", **headers}
    if secret is not None:
        signature = hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
        headers["X-Hub-Signature-256"] = f"sha256={signature}"
    call = Call(url, "POST", headers, body, timeout, follow_redirects=False)
    say(f"POST {masked(url)}")
    answer = answer_in_time(call)
    show(answer)
    found = list(failures(answer, "200-299", "", ""))
    if found:
        raise JobFailed("\n".join(f"{masked(url)} {failure}" for failure in found))


def _about_this_run() -> str:
    return json.dumps(
        {
            "run": os.environ.get("SCHEDULER_RUN_ID", ""),
            "schedule": os.environ.get("SCHEDULER_SCHEDULE", ""),
            "fire_time": os.environ.get("SCHEDULER_FIRE_TIME", ""),
            "attempt": os.environ.get("SCHEDULER_ATTEMPT", ""),
        }
    )
