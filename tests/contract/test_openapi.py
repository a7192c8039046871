"""The contract is made from the routes, complete, and committed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr

from app import errors
from app.api.docs import internal_contract, public_contract
from app.clock import new_id, utc_now
from app.contract import stale_files
from app.errors import ServiceError
from app.jobs.call_spark import SparkApi
from app.learning.sample_course import ASSIGNMENT_ID, COURSE_ID
from app.main import ROUTERS, create_app
from app.settings import Settings
from tests.support.fake_spark import run_fake_spark

PROJECT = Path(__file__).parent.parent.parent
KINDS = ("public", "internal")
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings(_env_file=None))


@pytest.fixture(scope="module", params=KINDS)
def contract(app: FastAPI, request: pytest.FixtureRequest) -> dict[str, Any]:
    return public_contract(app) if request.param == "public" else internal_contract(app)


def _operations(contract: dict[str, Any], *places: str) -> list[tuple[str, dict[str, Any]]]:
    """Ours, and with `webhooks` what Spark answers us."""
    return [
        (f"{method} {path}", operation)
        for place in ("paths", *places)
        for path, methods in contract.get(place, {}).items()
        for method, operation in methods.items()
    ]


def test_what_is_committed_is_what_is_generated() -> None:
    assert not stale_files(PROJECT)


def test_the_public_contract_holds_only_what_spark_sees(app: FastAPI) -> None:
    paths = set(public_contract(app)["paths"])
    assert paths == {
        "/spark/sso",
        "/spark/deep-link",
        "/spark/token",
        "/spark/webhook/submission",
        "/spark/webhook/course",
        "/spark/webhook/roster",
        "/spark/webhook/deliveries",
        "/spark/webhook/deliveries/replay",
        "/spark/webhook/ping",
        "/healthz",
        "/readyz",
    }


def test_every_operation_is_described_and_says_who_may_call_it(contract: dict[str, Any]) -> None:
    for name, operation in _operations(contract, "webhooks"):
        assert operation["summary"], name
        assert operation["description"], name
        assert "security" in operation, name


def test_every_field_has_a_description_and_an_example(contract: dict[str, Any]) -> None:
    schemas = dict(contract["components"]["schemas"])
    for name, operation in _operations(contract, "webhooks"):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            schemas[f"{name} {media}"] = content["schema"]
    for name, schema in schemas.items():
        for field, facts in schema.get("properties", {}).items():
            assert facts.get("description"), f"{name}.{field}"
            if not {"$ref", "items", "properties", "anyOf"} & facts.keys():
                assert facts.get("examples") or "const" in facts, f"{name}.{field}"


def test_every_problem_is_documented_by_the_shape_that_is_raised(contract: dict[str, Any]) -> None:
    for name, operation in _operations(contract):
        for status, response in operation["responses"].items():
            for media, content in response.get("content", {}).items():
                if media == PROBLEM:
                    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, name
                    assert all(
                        example["value"]["status"] == int(status)
                        for example in content["examples"].values()
                    )


def test_every_code_stands_once_in_the_catalogue() -> None:
    """Two classes share a code only when one is a special case of the other."""
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, ServiceError) and "code" in vars(kind)
    ]
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes))


def test_every_operation_states_its_caller(app: FastAPI) -> None:
    """Deny by default: whoever adds an open operation has to add it here."""
    for name, operation in _operations(internal_contract(app)):
        schemes = [scheme for entry in operation["security"] for scheme in entry]
        with_own_token = " /internal/v1/evidence/" in name
        assert schemes == ["serviceKey", *["appToken"] * with_own_token], name
    public = {name: op["security"] for name, op in _operations(public_contract(app))}
    assert public.pop("post /spark/webhook/submission") == [
        {"sparkSignature": []},
        {"standardWebhooks": []},
    ]
    assert {name for name, security in public.items() if not security} == {
        "get /spark/sso",
        "post /spark/sso",
        "get /spark/deep-link",
        "post /spark/deep-link",
        "post /spark/token",
        "get /healthz",
        "get /readyz",
    }


async def test_the_page_needs_nothing_from_outside(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/docs")).text
    assert "://" not in page
    assert (await browser.get("/openapi.json")).json() == json.loads(
        (PROJECT / "openapi/openapi.json").read_text()
    )


def test_no_route_lets_the_framework_read_a_body() -> None:
    """It would read it whole, of any size, before a key or a signature is looked at."""
    routes = [route for router in ROUTERS for route in router.routes]
    assert len(routes) > 30
    assert [route for route in routes if isinstance(route, APIRoute) and route.body_field] == []


def test_every_body_has_a_name(contract: dict[str, Any]) -> None:
    """Without one each generator makes its own, or forgets to."""
    for name, operation in _operations(contract, "webhooks"):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            assert "$ref" in content["schema"] or media == "application/octet-stream", name


def test_every_component_has_its_title_for_a_name(contract: dict[str, Any]) -> None:
    """Some generators take the one, some the other."""
    titles = {name: schema["title"] for name, schema in contract["components"]["schemas"].items()}
    assert titles == {name: name for name in titles}


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in it."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for item in value if isinstance(value, list) else []:
        yield from _parts(item)


def test_no_value_is_a_constant(contract: dict[str, Any]) -> None:
    """Of two models that may be answered, PHP's generator reads one with the other's constant."""
    assert [part for part in _parts(contract) if "const" in part] == []


# Classes of generators' languages and runtimes: a model of this name hides them, or is renamed.
TAKEN = {"Block", "Blob", "Document", "Error", "Event", "Exception", "File", "Object", "Request"}
TAKEN |= {"Response", "String", "Date", "Map", "Set", "List", "Record", "Warning", "FormData"}


def test_no_model_has_the_name_of_a_generators_own_class(contract: dict[str, Any]) -> None:
    assert contract["components"]["schemas"].keys().isdisjoint(TAKEN)


def test_every_operation_has_examples_of_what_is_sent_and_answered(
    contract: dict[str, Any],
) -> None:
    for name, operation in _operations(contract, "webhooks"):
        for parameter in operation.get("parameters", []):
            assert parameter["schema"]["examples"], f"{name} {parameter['name']}"
        shown = [*operation.get("requestBody", {}).get("content", {}).values()]
        for success in ("200", "202"):
            shown += operation["responses"].get(success, {}).get("content", {}).values()
        assert all(content["examples"] for content in shown), name
        assert {"200", "202", "204", "302"} & operation["responses"].keys(), name


def test_examples_of_homework_name_no_file_that_is_not_sent(app: FastAPI) -> None:
    submit = public_contract(app)["paths"]["/spark/webhook/submission"]["post"]
    bodies = submit["requestBody"]["content"]
    (text,) = (example["value"] for example in bodies["application/json"]["examples"].values())
    (sent,) = (example["value"] for example in bodies["multipart/form-data"]["examples"].values())
    assert text["spark_assignment_id"] == ASSIGNMENT_ID
    assert text["spark_course_id"] == COURSE_ID
    assert not {"files", "submission_files"} & (text.keys() | json.loads(sent["metadata"]).keys())


def test_no_example_has_a_place_that_was_not_filled(contract: dict[str, Any]) -> None:
    for name, operation in _operations(contract):
        for response in operation["responses"].values():
            examples = [content.get("examples") for content in response.get("content", {}).values()]
            assert not re.search(r"\{\w+\}", json.dumps(examples)), name


def test_every_answer_declares_its_headers(contract: dict[str, Any]) -> None:
    for name, operation in _operations(contract):
        for status, response in operation["responses"].items():
            headers = response["headers"].keys()
            assert "X-Request-Id" in headers, f"{name} {status}"
            assert ("WWW-Authenticate" in headers) == (status == "401"), f"{name} {status}"
            assert ("Allow" in headers) == (status == "405"), f"{name} {status}"
            waits = "retry_after" in json.dumps(response.get("content", {}))
            assert ("Retry-After" in headers) == waits, f"{name} {status}"


def test_it_says_whose_it_is_where_it_is_served_and_what_its_tags_mean(
    contract: dict[str, Any],
) -> None:
    assert contract["servers"]
    assert contract["info"]["contact"]["name"]
    assert contract["info"]["license"]["name"]
    described = [tag["name"] for tag in contract["tags"] if tag["description"]]
    assert sorted(described) == sorted(
        {op["tags"][0] for _, op in _operations(contract, "webhooks")}
    )


def test_codes_are_a_list_that_may_grow(contract: dict[str, Any]) -> None:
    codes = contract["components"]["schemas"]["ProblemCode"]
    assert "enum" not in codes
    examples = {
        code
        for _, operation in _operations(contract)
        for response in operation["responses"].values()
        for code in response.get("content", {}).get(PROBLEM, {}).get("examples", {})
    }
    assert examples <= set(codes["x-extensible-enum"])
    assert contract["components"]["schemas"]["Problem"]["properties"]["code"]["$ref"]


def test_what_spark_receives_is_in_its_contract_alone(app: FastAPI) -> None:
    assert "webhooks" not in internal_contract(app)
    webhooks = public_contract(app)["webhooks"]
    assert [(name, *methods) for name, methods in webhooks.items()] == [
        ("grade", "post"),
        ("receipt", "post"),
        ("ping", "get"),
    ]


@pytest.mark.parametrize(("name", "path"), [("grade", "/grades"), ("receipt", "/receipts")])
async def test_spark_takes_the_example_of_what_it_receives(
    app: FastAPI, settings: Settings, name: str, path: str
) -> None:
    """As it is sent: with exactly the headers that the contract names."""
    operation = public_contract(app)["webhooks"][name]["post"]
    [example] = operation["requestBody"]["content"]["application/json"]["examples"].values()
    body = json.dumps(example["value"]).encode()
    async with run_fake_spark("key", "secret") as fake, httpx.AsyncClient() as client:
        known = settings.model_copy(
            update={
                "spark_api_url": fake.url,
                "spark_api_key": SecretStr("key"),
                "spark_outbound_secret": SecretStr("secret"),
            }
        )
        spark_api = SparkApi(known, client, now=utc_now, new_id=new_id)
        assert (await spark_api.call("POST", path, "example.1", body)).outcome.code == "delivered"
        [request] = await fake.requests()
    named = {parameter["name"] for parameter in operation["parameters"]}
    transport = {"host", "accept", "accept-encoding", "connection", "user-agent"}
    body_and_key = {"content-length", "content-type", "authorization"}
    assert request["headers"].keys() - transport - body_and_key == named


def test_every_reference_leads_somewhere(contract: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(contract))):
        place: Any = contract
        for step in reference.split("/"):
            place = place[step]


def test_what_the_edge_answers_is_documented_on_every_operation(contract: dict[str, Any]) -> None:
    for name, operation in _operations(contract):
        if name.endswith("z"):
            continue  # health
        codes = {
            code
            for response in operation["responses"].values()
            for media in response.get("content", {}).values()
            for code in media.get("examples", {})
        }
        assert {"request_invalid", "header_too_large"} <= codes, name
        assert "internal_error" in codes, name
