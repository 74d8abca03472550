"""Schedules at the command line, without anything running, and what a shell completes."""

import json
import shutil
import subprocess

import pytest

from tests.command_line import CommandLine


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    return CommandLine(tmp_path_factory.mktemp("installation"), SCHEDULER_GENERAL_TIME_ZONE="Europe/Berlin")


@pytest.fixture(scope="module")
def nightly(cli):
    made = cli(
        *("schedule", "add", "Nightly backup", "--cron", "30 2 * * *", "--tz", "Europe/Berlin", "--tag", "disk"),
        *("back_up_files", "--source", "/srv/documents", "--target", "/mnt"),
    )
    assert made.stdout == "Added 'Nightly backup' (schedule 1): At 02:30 every day (Europe/Berlin).\n"
    return "Nightly backup"


def test_a_schedule_is_listed_shown_and_found_by_name_or_number(cli, nightly):
    assert "At 02:30 every day" in cli("schedule", "list").stdout
    assert cli.json("schedule", "list", "--tag", "other") == []
    assert "Files and folders = /srv/documents" in cli("schedule", "show", "1").stdout
    document = cli.json("schedule", "show", nightly)
    assert (document["number"], document["cron"], document["tags"]) == (1, "30 2 * * *", ["disk"])
    assert document["parameters"]["sources"] == ["/srv/documents"]


def test_what_is_not_said_in_a_change_stays(cli, nightly):
    before = cli.json("schedule", "show", nightly)
    cli(
        "schedule",
        "edit",
        nightly,
        "--every",
        "10 minutes",
        "--set",
        "retry_doubles=true",
        "back_up_files",
        "--keep",
        "3",
    )
    after = cli.json("schedule", "show", nightly)
    assert (after["every"], after.get("cron"), after["retry_doubles"]) == ("10 minutes", None, True)
    assert after["parameters"] == before["parameters"] | {"keep": 3}
    cli("schedule", "edit", nightly, "--cron", "30 2 * * *", "--tz", "Europe/Berlin")
    times = cli.json("schedule", "next", nightly, "-n", "3")
    assert [each["at"][11:16] for each in times] == ["02:30"] * 3


def test_a_schedule_is_disabled_enabled_run_and_its_history_shown(cli, nightly):
    assert "is disabled" in cli("schedule", "disable", nightly).stdout
    assert cli.json("schedule", "show", nightly)["next_run"] is None
    assert "was disabled already" in cli("schedule", "disable", nightly).stdout
    assert "is enabled" in cli("schedule", "enable", nightly).stdout
    number = cli.json("schedule", "run", nightly)["run"]
    assert [each["run"] for each in cli.json("schedule", "history", nightly)] == [number]
    assert "nothing runs" in cli("schedule", "run", nightly, "--wait", code=3).stderr


def test_all_schedules_are_paused_and_resumed(cli, nightly):
    assert "All schedules are paused until" in cli("schedule", "pause", "--for", "1h").stdout
    assert "paused" in cli("schedule", "list").stderr
    assert "run again" in cli("schedule", "resume").stdout
    assert "were not paused" in cli("schedule", "resume").stdout


def test_a_schedule_is_deleted_only_after_a_yes(cli):
    cli("schedule", "add", "Short-lived", "--every", "1h", "--disabled", "run_command", "--command", "true")
    assert cli("schedule", "delete", "Short-lived", code=1, given="n\n").stderr.startswith("Delete the schedule")
    cli("schedule", "delete", "Short-lived", "--yes")
    assert "cannot find the schedule" in cli("schedule", "show", "Short-lived", code=1).stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(("show", "nightly"), 1, "did you mean 'Nightly backup'?", id="another name"),
        pytest.param(("add", "x"), 2, "a job are needed", id="no job"),
        pytest.param(("add", "x", "--overlap", "skp", "run_command"), 1, "overlap: 'skp' is not possible", id="policy"),
        pytest.param(("add", "x", "--set", "overlp=skip", "run_command"), 1, "did you mean overlap?", id="field"),
        pytest.param(("add", "x", "--every", "1h", "run_comand"), 1, "did you mean run_command?", id="no such job"),
        pytest.param(("edit", "1"), 2, "what is to be otherwise", id="nothing to change"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(cli, nightly, words, code, said):
    done = cli("schedule", *words, code=code)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_bash_completes_verbs_jobs_options_and_names_of_schedules(cli, nightly):
    def completed(*words):
        typed = ["scheduler-app", *words]
        asked = {
            "_SCHEDULER_APP_COMPLETE": "bash_complete",
            "COMP_WORDS": "\n".join(typed),
            "COMP_CWORD": str(len(words)),
        }
        return subprocess.run(
            cli.argv(), env=cli.environment | asked, capture_output=True, text=True, check=True
        ).stdout.split("\n")

    assert "plain,schedule" in completed("sche")
    assert "plain,back_up_files" in completed("job", "run", "back_up")
    assert "plain,--target" in completed("job", "run", "back_up_files", "--ta")
    assert "plain,tar.zst" in completed("job", "run", "back_up_files", "--format", "t")
    assert "plain,Nightly backup" in completed("schedule", "show", "night")


def test_every_shell_gets_its_script_and_powershells_answers_are_one_a_line(cli):
    for shell in ("bash", "zsh", "fish", "powershell"):
        assert "_SCHEDULER_APP_COMPLETE" in cli("completion", shell).stdout
    asked = {
        "_SCHEDULER_APP_COMPLETE": "powershell_complete",
        "COMP_WORDS": json.dumps(["schedule"]),
        "COMP_CURRENT": "en",
    }
    said = subprocess.run(cli.argv(), env=cli.environment | asked, capture_output=True, text=True, check=True).stdout
    assert said.startswith("plain\tenable\tLet SCHEDULE run")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_can_read_its_script(cli):
    script = cli("completion", "bash").stdout
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
