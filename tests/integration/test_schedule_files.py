"""Schedules in files, and other programs' schedules, as people type it; without anything running."""

import json
import shutil
import tomllib

import pytest

from tests.command_line import CommandLine

FILE = """
owner = "the team"

[[schedule]]
name = "Fetch"
job = "run_command"
cron = "30 2 * * 1-5"
time_zone = "Europe/Berlin"
on_success = "Tell"
tags = ["night"]
[schedule.parameters]
command = "echo \\"größe\\""

[[schedule]]
name = "Tell"
job = "run_command"
every = "10 minutes"
enabled = false
[schedule.parameters]
command = "true"
"""
CRONTAB = """
# Rotates the logs
MAILTO=ops@example.org
CRON_TZ=America/New_York
GREETING="hello there"
30 2 * * 1-5 /usr/bin/rotate --all
@daily tar -c . %first line%second
0 0 13 * 5 unlucky
@reboot start-me
* * *
61 * * * never
"""
EVENT = {
    "id": "e1",
    "title": "Nightly report",
    "enabled": 1,
    "plugin": "shellplug",
    "params": {"script": "#!/bin/bash\necho report\n"},
    "timing": {"hours": [3], "minutes": [15]},
    "timezone": "Europe/Paris",
    "catch_up": 1,
    "retries": 2,
    "retry_delay": 30,
    "notify_fail": "ops@example.org",
    "chain": "e2",
}
FOLLOWER = {"id": "e2", "title": "After it", "enabled": 1, "plugin": "urlplug", "timing": {"minutes": [0, 30]}}
FOLLOWER["params"] = {"url": "https://example.org/", "method": "POST", "data": "x"}


@pytest.fixture(scope="module")
def new_installation(tmp_path_factory):
    """Return how to make an installation in a folder: its database is made once, and copied."""
    template = CommandLine(tmp_path_factory.mktemp("template"))
    template("schedule", "list")

    def make(folder):
        shutil.copytree(template.data, folder / "data")
        return CommandLine(folder, SCHEDULER_GENERAL_TIME_ZONE="Europe/Berlin")

    return make


@pytest.fixture
def cli(new_installation, tmp_path):
    return new_installation(tmp_path / "installation")


@pytest.fixture
def file(tmp_path):
    written = tmp_path / "schedules.toml"
    written.write_text(FILE, encoding="utf-8")
    return written


def test_a_file_is_planned_applied_changed_and_what_it_no_longer_says_is_removed(cli, file):
    planned = cli("plan", str(file), code=2).stdout
    assert planned.splitlines() == ["+ add Fetch", "+ add Tell"]
    assert cli.json("schedule", "list") == []

    assert cli("apply", str(file)).stdout == planned
    assert cli("plan", str(file)).stdout == "Everything is as the file says.\n"
    fetch = cli.json("schedule", "show", "Fetch")
    assert (fetch["cron"], fetch["on_success"], fetch["tags"]) == ("30 2 * * 1-5", "Tell", ["night"])

    cli("schedule", "disable", "Fetch")
    file.write_text(FILE.partition('\n[[schedule]]\nname = "Tell"')[0].replace('on_success = "Tell"\n', ""))
    changes = json.loads(cli("plan", str(file), "--json", code=2).stdout)["changes"]
    assert [(change["doing"], change["name"]) for change in changes] == [("change", "Fetch"), ("remove", "Tell")]
    assert changes[0]["by_hand"] == ["enabled: yes → no"]
    cli("apply", str(file))
    assert [each["name"] for each in cli.json("schedule", "list")] == ["Fetch"]
    assert cli.json("schedule", "show", "Fetch")["enabled"] is True


def test_what_is_exported_and_applied_elsewhere_is_exported_as_the_same_text(cli, new_installation, file, tmp_path):
    cli("apply", str(file))
    exported = tmp_path / "exported.toml"
    cli("export", "-o", str(exported))
    other = new_installation(tmp_path / "other")
    other("apply", str(exported))
    assert other("export").stdout == exported.read_text(encoding="utf-8")
    assert [each["name"] for each in tomllib.loads(cli("export", "--tag", "night").stdout)["schedule"]] == ["Fetch"]
    assert [each["name"] for each in json.loads(cli("export", "--json", "Tell").stdout)["schedule"]] == ["Tell"]
    assert "did you mean 'Tell'?" in cli("export", "Tel", code=1).stderr


def test_a_file_takes_over_what_it_does_not_own_only_when_told_to(cli, file):
    cli("schedule", "add", "Tell", "--every", "1 hour", "run_command", "--command", "date")
    refused = cli("apply", str(file), code=1).stderr
    assert "schedule 2 (Tell), name" in refused
    assert "no file has made it; --adopt takes it" in refused
    assert "Nothing was changed." in refused
    assert [each["name"] for each in cli.json("schedule", "list")] == ["Tell"]
    assert "~ take over Tell" in cli("apply", "--adopt", str(file)).stdout


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('job = "run_command"', 'job = "run_comand"'), "schedule 1 (Fetch), job"),
        (("tags =", "tag ="), "did you mean tags?"),
        (('"30 2 * * 1-5"', '"61 * * * *"'), "schedule 1 (Fetch), cron"),
        (('every = "10 minutes"', 'every = "soon"'), "schedule 2 (Tell), every"),
        (('name = "Tell"', 'name = "Fetch"'), "the file has this name twice"),
        (('owner = "the team"', "x = " + "[" * 5_000), "cannot read"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_the_place_and_nothing_changes(cli, file, change, says):
    file.write_text(FILE.replace(*change, 1) if change[0] != 'name = "Tell"' else FILE.replace(*change))
    refused = cli("apply", str(file), code=1).stderr
    assert says in refused
    assert "Traceback" not in refused
    assert cli.json("schedule", "list") == []


def test_yaml_is_read_as_people_mean_it_and_bombs_are_refused(cli, tmp_path):
    file = tmp_path / "schedules.yaml"
    file.write_text("schedule:\n- name: no\n  job: run_command\n  every: 1 hour\n  parameters: {command: 'true'}\n")
    assert cli("plan", str(file), code=2).stdout == "+ add no\n"
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    file.write_text("\n".join(lines))
    assert "it uses an alias" in cli("plan", str(file), code=1).stderr


def test_the_schema_describes_such_a_file(cli):
    schema = json.loads(cli("schema").stdout)
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["properties"]["schedule"]["type"] == "array"


def test_a_crontab_arrives_disabled_and_what_is_not_carried_over_is_told(cli, tmp_path):
    crontab = tmp_path / "crontab"
    crontab.write_text(CRONTAB)
    report = cli("import", "crontab", str(crontab), "--dry-run", code=1).stdout
    assert "3 would be imported, disabled; 3 not." in report
    assert "@reboot: nothing here starts with the machine" in report
    assert cli.json("schedule", "list") == []

    cli("import", "crontab", str(crontab), code=1)
    rotate = cli.json("schedule", "show", "/usr/bin/rotate --all")
    assert (rotate["enabled"], rotate["cron"], rotate["time_zone"]) == (False, "30 2 * * 1-5", "America/New_York")
    assert rotate["parameters"]["environment"] == {"GREETING": "hello there"}
    tar = cli.json("schedule", "show", "tar -c . %first line%second")
    assert (tar["parameters"]["command"], tar["parameters"]["stdin"]) == ("tar -c . ", "first line\nsecond\n")
    assert cli.json("schedule", "show", "unlucky")["day_rule"] == "or"
    assert "there is a schedule of this name already" in cli("import", "crontab", str(crontab), code=1).stdout


def test_events_of_cronicle_keep_their_times_policies_and_chains(cli, tmp_path):
    export = tmp_path / "cronicle.txt"
    export.write_text(f"# Cronicle export\nglobal/schedule/0 - {json.dumps({'items': [EVENT, FOLLOWER]})}\n")
    result = cli.json("import", "cronicle", str(export), "--enable")["schedules"]
    assert [each["done"] for each in result] == [True, True]
    assert "mails of its failure is left out" in result[0]["notes"]
    report = cli.json("schedule", "show", "Nightly report")
    assert (report["cron"], report["time_zone"], report["enabled"]) == ("15 3 * * *", "Europe/Paris", True)
    assert (report["catch_up"], report["attempts"], report["on_success"]) == ("all", 3, "After it")
    assert report["parameters"]["interpreter"] == "bash"
    assert cli.json("schedule", "show", "After it")["cron"] == "0,30 * * * *"
