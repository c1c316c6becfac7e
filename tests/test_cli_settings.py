"""Where the command line takes its settings from, and which of them wins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Done, finished, gomachinery

FILE = "broker: {url}\nresult_backend: {url}\ndefault_queue: from_file\n"


@pytest.fixture
def file(tmp_path: Path, embedded_url: str) -> str:
    """A Machinery file."""
    path = tmp_path / "config.yml"
    path.write_text(FILE.format(url=embedded_url))
    return str(path)


def waiting(url: str, *queues: str) -> list[int]:
    """How many tasks wait in each."""
    lines = gomachinery("queue", "ls", *queues, "--json", "--broker", url).out.splitlines()
    return [json.loads(line)["waiting"] for line in lines]


def test_flags_over_file_over_environment(embedded_url: str, file: str) -> None:
    """Machinery's own file and its own variables; flags win."""
    variables = {"BROKER": embedded_url, "RESULT_BACKEND": embedded_url, "DEFAULT_QUEUE": "from_environment"}
    before = waiting(embedded_url, "from_flag", "from_file", "from_environment")
    assert gomachinery("send", "x", "--config", file, "--default-queue", "from_flag", env=variables).code == 0
    assert gomachinery("send", "x", "--config", file, env=variables).code == 0
    assert gomachinery("send", "x", env=variables).code == 0
    after = waiting(embedded_url, "from_flag", "from_file", "from_environment")
    assert [new - old for old, new in zip(before, after, strict=True)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "code", "queue"),
    [(("--default-queue", "from_flag"), 0, "from_flag"), (("--config", "CONFIG"), 0, "from_file"), ((), 0, "from_app")],
)
def test_an_apps_own_settings_are_between_file_and_environment(
    embedded_url: str, file: str, tmp_path: Path, options: tuple[str, ...], code: int, queue: str
) -> None:
    """A worker consumes the queue that the strongest of them names."""
    (tmp_path / "settled.py").write_text(
        f"from gomachinery_py import Server\nserver = Server({embedded_url!r}, default_queue='from_app')\n"
        "server.worker = lambda *a, **k: print(server.config.default_queue) or exit(0)\n"
    )
    words = [file if option == "CONFIG" else option for option in options]
    variables = {"BROKER": "redis://127.0.0.1:1", "DEFAULT_QUEUE": "from_environment"}
    done = finished("worker", "settled:server", *words, cwd=tmp_path, env=variables)
    assert (done.code, done.out) == (code, f"{queue}\n")


def test_a_broker_flag_takes_the_results_along(embedded_url: str) -> None:
    """Unless another result store was named, results go to the broker."""
    old = {"BROKER": "redis://127.0.0.1:1", "RESULT_BACKEND": "redis://127.0.0.1:1"}
    assert gomachinery("send", "x", "--queue", "along", "--broker", embedded_url, env=old).code == 0
    elsewhere = {"RESULT_BACKEND": "redis://127.0.0.1:1"}
    assert gomachinery("send", "x", "--queue", "along", "--broker", embedded_url, env=elsewhere).code == 3


def test_unknown_keys_warn_or_are_refused(embedded_url: str, tmp_path: Path) -> None:
    """With the line; --strict makes it an error."""
    path = tmp_path / "config.yml"
    path.write_text(FILE.format(url=embedded_url) + "brokre: x\n")
    command = ("queue", "ls", "from_nowhere", "--config", str(path))
    warned = gomachinery(*command)
    assert (warned.code, warned.error.count("\n")) == (0, 1)
    assert " WARNING " in warned.error
    assert "brokre" in warned.error
    refused = gomachinery(*command, "--strict")
    assert (refused.code, refused.out, refused.error.count("\n"), "brokre" in refused.error) == (2, "", 1, True)
    assert "line 4" in refused.error


def test_a_wrong_setting_names_its_line_and_no_secret(tmp_path: Path) -> None:
    """Exit code 2."""
    path = tmp_path / "config.yml"
    path.write_text("broker: redis://:hunter2@127.0.0.1:1\nresults_expire_in: soon\n")
    done = gomachinery("queue", "ls", "--config", str(path))
    assert (done.code, done.error.count("\n"), "hunter2" in done.error) == (2, 1, False)
    assert "line 2" in done.error


def test_no_broker_is_guessed() -> None:
    """Machinery's default, a RabbitMQ on this machine, is rarely what was meant."""
    text = "gomachinery: no broker is given: use --broker, --config, or the environment variable BROKER\n"
    assert gomachinery("queue", "ls") == Done(2, "", text)


@pytest.mark.parametrize("url", ["zzz://user:hunter2@host", "eager", "null"])
def test_a_broker_that_cannot_be_used(url: str) -> None:
    """Exit code 2 and one line without a password."""
    done = gomachinery("queue", "ls", "--broker", url)
    assert (done.code, done.out, done.error.count("\n"), "hunter2" in done.error) == (2, "", 1, False)


def test_log_level_decides_what_is_said(embedded_url: str, tmp_path: Path) -> None:
    """Warnings about a file are log lines, so errors only means none of them; JSON has its fields."""
    path = tmp_path / "config.yml"
    path.write_text(FILE.format(url=embedded_url) + "brokre: x\n")
    command = ("queue", "ls", "from_nowhere", "--config", str(path))
    assert gomachinery(*command, "--log-level", "error").error == ""
    line = json.loads(gomachinery(*command, "--log-format", "json").error)
    assert (list(line), line["level"]) == (["time", "level", "logger", "message"], "warning")
