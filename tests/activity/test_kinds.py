"""One table of event types: what is recorded stands in it, and the contract is made from it."""

from app.activity.kinds import KINDS
from app.api.docs import internal_contract
from app.api.failures import EVENTS, OTHERS
from app.main import create_app
from app.settings import Settings


def test_every_failure_that_is_recorded_has_its_sentence() -> None:
    """Of what succeeds a type that is not in the table cannot be recorded at all."""
    named = {event[0] for events in EVENTS.values() for event in events.values() if event}
    assert named | {event_type for event_type, *_ in OTHERS.values()} <= KINDS.keys()


def test_the_contract_names_the_types_that_can_be_followed_and_their_keys() -> None:
    contract = internal_contract(create_app(Settings(_env_file=None)))
    described = contract["paths"]["/internal/v1/events"]["get"]["description"]
    for event_type, kind in KINDS.items():
        assert (f"`{event_type}`" in described) == bool(kind.data)
        assert all(f"`{key}`" in described for key in kind.data)
