"""The command line as a user runs it: real processes, their words, exit codes and remains."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest
from pydantic import SecretStr

from app.cli.terminal import say
from app.settings import Settings
from app.signing import sign
from tests.support.canaries import CANARIES
from tests.support.checkout import PROJECT, Checkout, Serving, make_checkout, wait_until
from tests.support.console import SAME_SITE
from tests.support.patience import patient
from tests.support.sender import Sender
from tests.support.spark import SUBMISSION
from tests.support.stores import Stores, own_stores

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def checkout() -> Iterator[Checkout]:
    with make_checkout() as made:
        yield made


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    """One that stays up, in a checkout of its own."""
    with make_checkout() as made, made.serve() as running:
        yield running


@pytest.fixture(scope="module")
def stores(settings: Settings) -> Iterator[Stores]:
    with own_stores(settings) as made:
        yield made


def is_one_sentence(words: str) -> bool:
    return words.count("\n") == 1 and words.endswith(".\n") and "Traceback" not in words


@pytest.mark.soak
def test_the_demo_says_what_happened(checkout: Checkout) -> None:
    done = checkout.run("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "grade" not in done.stdout
    for step in ("sign in", "hand in JSON", "hand in files", "download and compare"):
        assert step in done.stdout
    assert done.stdout.endswith("  Everything came back as it was handed in.\n")


@pytest.mark.soak
def test_beside_a_spark_the_demo_fetches_a_file_and_a_grade_arrives(checkout: Checkout) -> None:
    done = checkout.run(module="tests.support.demo", PYTHONPATH=str(PROJECT))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rain.csv fetched and shown, 47 bytes" in done.stdout
    assert re.search(r"give a grade +87.5 of 100, delivered", done.stdout)
    arrived = r"  In Spark's gradebook: rain of demo_\w+, 87.5 of 100.\n\Z"
    assert re.search(arrived, done.stdout)


@needs_curl
def test_what_try_it_prints_works_as_printed(serving: Serving) -> None:
    link = re.search(r"Sign in +(\S+)", serving.output)
    assert link
    assert _sh(f"curl -sS -o /dev/null -w '%{{http_code}}' '{link[1]}'") == "302"
    commands = re.findall(r"^(?:echo .*)?curl (?:.*\\\n)*.*$", serving.output, re.MULTILINE)
    assert len(commands) == 2
    words = re.search(r"put '(\S+)' \(quoted\) behind the address", serving.output)
    assert words
    for command in commands:
        checked = _sh(re.sub(r"(\S+/submission)", rf"'\1{words[1]}'", command))
        assert '"would":"create"' in checked
    as_json, with_file = map(_sh, commands)
    assert '"status":"success"' in as_json
    assert '"files":[{"name":"report.txt"' in with_file


@needs_curl
def test_try_it_signs_anew_for_a_running_service(serving: Serving) -> None:
    """INTEGRATOR 12: by the command that it printed itself, in a shell of no environment."""
    command = re.search(r"fresh ones: (.*)\)$", serving.output, re.MULTILINE)
    assert command
    printed = _sh(f"cd {serving.checkout.folder} && PATH=/usr/bin:/bin {command[1]}")
    link = re.search(r"Sign in +(\S+)", printed)
    assert link
    assert link[1].startswith(serving.url)
    assert link[1] not in serving.output
    assert httpx.get(link[1]).status_code == 302


def _sh(command: str) -> str:
    done = subprocess.run(  # noqa: S602 - a shell, as the reader of the command has one
        command, shell=True, check=True, capture_output=True, text=True, timeout=patient(30)
    )
    return done.stdout


def _exported(output: str) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)=(\S+)$", output, re.MULTILINE))


def test_a_first_start_says_nothing_but_what_helps(serving: Serving) -> None:
    """INTEGRATOR 12: neither an error nor a step of a migration."""
    said = [json.loads(line) for line in serving.output.splitlines() if line.startswith("{")]
    assert {line["level"] for line in said} == {"info"}
    assert not [line for line in said if "pgrade" in line["event"]]
    assert re.fullmatch(r"((PostgreSQL|S3 \(SeaweedFS\)) on \S+, .*\n){2}", serving.errors)


def test_what_it_exports_signs_for_the_guides_own_student(serving: Serving) -> None:
    """INTEGRATOR 12: who never signed in; and it is no error to be there before."""
    given = _exported(serving.output)
    assert given.keys() == {"OPTIO_URL", "OPTIO_SHARED_SECRET", "OPTIO_WEBHOOK_SECRET"}
    message = {
        "spark_user_id": "42",
        "spark_course_id": "test_course_001",
        "spark_assignment_id": "test_assignment_001",
        "submission_text": "Rain fell on four of seven days.",
        "submitted_at": datetime.now(tz=UTC).isoformat(),
    }
    raw = json.dumps(message).encode()
    answer = httpx.post(
        f"{given['OPTIO_URL']}{SUBMISSION}",
        content=raw,
        headers={
            "Content-Type": "application/json",
            "X-Spark-Signature": sign(SecretStr(given["OPTIO_WEBHOOK_SECRET"]), raw),
        },
    )
    assert answer.status_code == 200, answer.text
    assert serving.checkout.secrets["SPARK_SSO_SECRET"] == given["OPTIO_SHARED_SECRET"]


def test_secrets_that_were_given_are_not_exported(serving: Serving) -> None:
    given = "given-by-an-operator-to-nobody-else"
    done = serving.checkout.run("try-it", SPARK_WEBHOOK_SECRET=given)
    assert "Sign in" in done.stdout
    assert _exported(done.stdout) == {}
    assert given not in done.stdout


def test_the_docs_are_where_try_it_says(serving: Serving) -> None:
    docs = re.search(r"Docs +(\S+)", serving.output)
    assert docs
    assert httpx.get(docs[1]).status_code == 200
    assert httpx.get(f"{serving.url}/readyz").json()["status"] == "ok"


def test_commands_beside_make_run_use_its_servers(serving: Serving) -> None:
    """So somebody who is only trying can make a key, and see the console."""
    console = re.search(r"Console +(\S+) +\(a key for it: python -m app (.*)\)", serving.output)
    assert console
    done = serving.checkout.run(*console[2].split())
    assert done.returncode == 0, done.stderr
    form = {"key": done.stdout.strip()}
    CANARIES.release(form["key"])
    answer = httpx.post(f"{console[1]}/sign-in", data=form, headers=SAME_SITE)
    assert answer.status_code == 303
    CANARIES.release(*answer.cookies.values())
    swept = serving.checkout.run("sweep")
    assert (swept.returncode, swept.stderr) == (0, "")
    assert len(serving.running()) == len(serving.servers)


@pytest.mark.soak
def test_a_second_service_on_the_same_data_is_refused(serving: Serving) -> None:
    done = serving.checkout.run("serve", "--port", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_sentence(done.stderr)
    assert str(serving.checkout.local) in done.stderr


@pytest.mark.soak
@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_serve_and_everything_it_started(
    checkout: Checkout, number: signal.Signals
) -> None:
    with checkout.serve() as serving:
        assert len(serving.servers) > 1
        began = time.monotonic()
        assert serving.end(number) == 0
        assert time.monotonic() - began < patient(6)
        assert serving.running() == []
    assert "Traceback" not in serving.output + serving.errors


@pytest.mark.soak
def test_a_second_signal_changes_nothing(checkout: Checkout) -> None:
    """P192: the impatient user's second Ctrl-C."""
    with checkout.serve() as serving:
        serving.process.send_signal(signal.SIGINT)
        assert serving.end(signal.SIGINT) == 0
        assert serving.running() == []
    assert "Traceback" not in serving.output + serving.errors


def test_a_signal_ends_the_worker(checkout: Checkout, stores: Stores) -> None:
    with checkout.start("worker", **stores.variables) as process:
        # It is connected for a moment before, to see whether the database fits.
        wait_until(lambda: _heeds(process.pid, signal.SIGTERM))
        wait_until(lambda: _is_connected(process.pid, stores))
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=patient(6))
    assert process.returncode == 0, errors
    assert "Traceback" not in output + errors


def _heeds(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (number - 1) & 1)


def _is_connected(pid: int, stores: Stores) -> bool:
    port = int(stores.variables["DATABASE_URL"].rpartition(":")[2].partition("/")[0])
    connections = psutil.Process(pid).net_connections("tcp")
    return any(item.raddr[1:] == (port,) for item in connections)


@pytest.mark.soak
def test_migrate_seed_and_sweep_may_be_repeated(checkout: Checkout, stores: Stores) -> None:
    """The schema and the sample course are there already."""
    said = {
        "migrate": "The schema is up to date.\n",
        "seed": "The sample course is there.\n",
        "sweep": (
            "erasures: 0, submissions: 0, uploads: 0, jobs_freed: 0, waiting_ended: 0,"
            " launches: 0, codes: 0, sessions: 0, console_sessions: 0, deliveries: 0,"
            " deliveries_untold: 0, grade_attempts: 0, jobs_dead: 0,"
            " idempotency_keys: 0, roster_rows: 0, roster_imports: 0, roster_imports_cut_off: 0,"
            " activity: 0, activity_personal: 0, activity_hours: 0, audit_log: 0,"
            " hours_counted: 0, alerts_ordered: 0, jobs: 0\n"
        ),
    }
    for command, words in said.items():
        done = checkout.run(command, **stores.variables)
        assert (done.returncode, done.stdout) == (0, words), done.stderr
    assert stores.count("course_quest_tasks") == 3


@pytest.mark.soak
def test_migrate_needs_no_file_storage(checkout: Checkout, stores: Stores) -> None:
    done = checkout.run("migrate", DATABASE_URL=stores.variables["DATABASE_URL"])
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.soak
def test_a_refused_homework_is_replayed_once_its_course_is_there(
    checkout: Checkout, settings: Settings
) -> None:
    with own_stores(settings) as stores:
        variables = stores.variables | checkout.secrets
        with checkout.serve(**variables) as serving:
            student = _hand_in_too_early(Sender(serving.url, variables))
        [delivery] = stores.rows("SELECT id, code FROM spark.deliveries")
        assert delivery["code"] == "assignment_not_found"

        refused = checkout.run("replay", str(delivery["id"]), **variables)
        assert (refused.returncode, refused.stdout) == (1, "")
        said, hint = refused.stderr.splitlines()
        assert said == "assignment_not_found: Quest not found for assignment: too_early"
        assert hint == "Sync the course first, then send the submission again."

        stores.rows("UPDATE quests SET lms_assignment_id = 'too_early'")
        for outcome in ("success", "success, nothing has changed"):
            done = checkout.run("replay", str(delivery["id"]), **variables)
            [completion] = stores.rows("SELECT id FROM quest_task_completions")
            words = f"{outcome}\ncompletion {completion['id']}, revision 1\n"
            assert (done.returncode, done.stdout, done.stderr) == (0, words, "")
        [kept] = stores.rows("SELECT code, spark_user_id, replayed_at FROM spark.deliveries")
        assert (kept["code"], kept["spark_user_id"]) == (None, student)
        assert kept["replayed_at"]


def _hand_in_too_early(spark: Sender) -> str:
    """Homework for an assignment that is not known yet, of this student."""
    student = spark.sign_in()
    message = spark.message(student, spark_assignment_id="too_early", submission_text="Rain fell.")
    answer = httpx.post(
        f"{spark.url}{SUBMISSION}",
        content=message,
        headers={
            "Content-Type": "application/json",
            "X-Spark-Signature": sign(spark.webhook_secret, message),
        },
    )
    assert answer.status_code == 400
    return student


@pytest.mark.soak
def test_a_contract_that_was_changed_by_hand_is_noticed_and_mended(checkout: Checkout) -> None:
    changed = checkout.folder / "openapi" / "openapi.json"
    committed = changed.read_text()
    changed.write_text("{}")
    done = checkout.run("openapi", "--check")
    assert (done.returncode, done.stdout) == (1, "openapi/openapi.json is out of date\n")
    assert is_one_sentence(done.stderr)
    assert changed.read_text() == "{}"
    assert checkout.run("openapi").returncode == 0
    assert changed.read_text() == committed
    assert checkout.run("openapi", "--check").returncode == 0


def test_production_without_secrets_is_refused_by_name(checkout: Checkout) -> None:
    done = checkout.run("serve", ENVIRONMENT="production", FRONTEND_URL="https://optio.example")
    assert (done.returncode, done.stdout) == (1, "")
    for name in ("DATABASE_URL", "SPARK_SSO_SECRET", "SPARK_WEBHOOK_SECRET", "JWT_SECRET_KEY"):
        assert f"{name} must be set in production" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.soak
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        pytest.param({}, "DATABASE_URL and S3_ENDPOINT_URL must be set", id="F04 nothing"),
        pytest.param(
            {"DATABASE_URL": "postgres://db:canary"},
            "DATABASE_URL: must be postgresql://",
            id="F04 database",
        ),
        pytest.param(
            {"S3_ENDPOINT_URL": "canary:9000"},
            "S3_ENDPOINT_URL: must be http(s)://host",
            id="F04 storage",
        ),
    ],
)
def test_a_host_that_starts_uvicorn_itself_gets_a_sentence_too(
    checkout: Checkout, variables: dict[str, str], sentence: str
) -> None:
    done = checkout.run(
        *("--factory", "app.main:create_app", "--port", "0"), module="uvicorn", **variables
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert sentence in done.stderr
    assert "canary" not in done.stderr


@pytest.mark.soak
@pytest.mark.parametrize(
    ("module", "words"),
    [
        pytest.param("app", ("serve", "--port", "0"), id="OPERATOR 16 serve"),
        pytest.param(
            *("uvicorn", ("--factory", "app.main:create_app", "--port", "0")),
            id="OPERATOR 16 uvicorn",
        ),
    ],
)
def test_without_a_folder_for_temporary_files_nothing_is_served(
    checkout: Checkout, stores: Stores, module: str, words: tuple[str, ...]
) -> None:
    """Not even by root can a file be made in it."""
    done = checkout.run(*words, module=module, **stores.variables, TMPDIR="/proc")
    assert done.returncode == 1
    assert is_one_sentence(done.stderr)
    assert done.stderr.startswith("TMPDIR: no file can be made in /proc")


@pytest.mark.soak
@pytest.mark.parametrize("host", ["127.0.0.1:1", "database.invalid"])
def test_a_database_that_is_not_there_is_named_in_a_sentence(
    checkout: Checkout, stores: Stores, host: str
) -> None:
    nowhere = {"DATABASE_URL": f"postgresql://user:canary@{host}/nowhere"}
    done = checkout.run("migrate", **stores.variables | nowhere)
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_sentence(done.stderr)
    assert "canary" not in done.stderr


def test_a_port_that_is_taken_is_refused_before_anything_starts(
    checkout: Checkout, serving: Serving
) -> None:
    done = checkout.run("serve", "--port", serving.url.rpartition(":")[2])
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_sentence(done.stderr)
    assert "Address already in use" in done.stderr
    assert re.search(r"make run PORT=\d+", done.stderr)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("words", "asked"), [([], "app serve$"), (["PORT=8123"], "app serve --port 8123$")]
)
def test_make_run_takes_a_port(words: list[str], asked: str) -> None:
    """INTEGRATOR 12"""
    make = ["make", "--dry-run", "run", *words]
    done = subprocess.run(make, cwd=PROJECT, check=True, capture_output=True, text=True)  # noqa: S603
    assert re.search(asked, " ".join(done.stdout.split()))


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\u202eb", "a\\u202eb"),
        ("a\nb", "a\\nb"),
        ("a\x9bb", "a\\x9bb"),
        ("\ud83d", "\\ud83d"),
        ("\xe9t\xe9 \u96e8", "\xe9t\xe9 \u96e8"),
    ],
    ids=["L3-escape", "L3-override", "L3-line", "L3-c1", "L3-surrogate", "L3-letters"],
)
def test_a_command_prints_what_was_sent_and_never_lets_it_act(
    capsys: pytest.CaptureFixture[str], sent: str, shown: str
) -> None:
    say(sent)
    assert capsys.readouterr().out == f"{shown}\n"
