"""Which account an address links (DESIGN R42, finding H5), at every door that makes students."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.accounts.students import unroutable_email
from app.database import Sessions
from app.settings import Settings
from app.signing import sign_token, token_key
from tests.api.spark.conftest import spark_at
from tests.api.spark.test_sso import account, create_user, fresh_email, user
from tests.support.databases import execute, look_into, ready_database
from tests.support.kinds import ADMIN
from tests.support.problems import assert_problem
from tests.support.roster import Course, entry, new_student, roster, send, sync_course
from tests.support.roster_files import table
from tests.support.spark import Spark
from tests.support.stored import audited

IMPORTS = "/internal/v1/roster/imports"
HEADER = ("sourcedId", "role", "username", "givenName", "familyName", "email")
Person = dict[str, Any]
Door = Callable[[Person], Awaitable[UUID]]


def person(email: str, given_name: str = "Mark", **more: Any) -> Person:
    """In the words of a launch token."""
    name = new_student()
    return {"sub": name, "email": email, "given_name": given_name, "family_name": "K"} | more


def anew(who: Person) -> Person:
    """A click of its own."""
    return who | {"jti": secrets.token_hex(8)}


@pytest.fixture
async def course(lms: Spark) -> Course:
    return await sync_course(lms)


@pytest.fixture(params=["sign-in", "roster", "import"], ids="H5-{}".format)
def door(
    request: pytest.FixtureRequest,
    lms: Spark,
    course: Course,
    sessions: Sessions,
    main_app: dict[str, str],
) -> Door:
    """By which a student of Spark comes in for the first time, and whose account it is then."""

    async def sign_in(who: Person) -> UUID:
        return UUID((await lms.sign_in(**anew(who))).user_id)

    async def enrol(who: Person) -> UUID:
        named = {name: who[name] for name in ("email", "given_name", "family_name")}
        answer = await send(lms, roster(course, entry(who["sub"], **named)))
        assert answer.status_code == 200, answer.text
        return await _account_of(who)

    async def import_file(who: Person) -> UUID:
        row = [who["sub"], "student", "", who["given_name"], who["family_name"], who["email"]]
        answer = await lms.browser.post(
            IMPORTS,
            content=table(HEADER, row),
            params={"apply": "true"},
            headers={"Content-Type": "text/csv"} | main_app,
        )
        assert answer.status_code == 200, answer.text
        return await _account_of(who)

    async def _account_of(who: Person) -> UUID:
        made = await account(sessions, who["sub"])
        assert made
        user_id: UUID = made.id
        return user_id

    doors: dict[str, Door] = {"sign-in": sign_in, "roster": enrol, "import": import_file}
    return doors[request.param]


async def says_address_exists(lms: Spark, key: dict[str, str], who: Person) -> bool:
    query = {"spark_user_id": who["sub"], "spark_assignment_id": "none"}
    answer = await lms.browser.get("/internal/v1/explain", params=query, headers=key)
    assert answer.status_code == 200, answer.text
    explained: dict[str, Any] = answer.json()
    said = "account with this student's address exists" in " ".join(explained["summary"])
    assert explained["link"]["address_exists"] == said
    assert who["email"] not in answer.text
    return said


# What an account has, and what Spark sends of somebody else: `#` is what makes it unique.
RESEMBLING = {
    "kelvin-sign": ("mark.kelvin#@school.example", "mar\u212a.\u212aelvin#@school.example"),
    "kelvin-sign-in-the-domain": ("a#@kent.example", "a#@\u212aent.example"),
    "no-break-space-before": ("a#@school.example", "\u00a0a#@school.example"),
    "no-break-space-after": ("a#@school.example", "a#@school.example\u00a0"),
    "em-space": ("a#@school.example", "\u2003a#@school.example"),
    "ideographic-space": ("a#@school.example", "a#@school.example\u3000"),
    "next-line": ("a#@school.example", "a#@school.example\u0085"),
    "line-separator": ("a#@school.example", "\u2028a#@school.example"),
    "information-separator": ("a#@school.example", "\x1ca#@school.example"),
    "angstrom-sign": ("\u00e5sa#@school.example", "\u212bsa#@school.example"),
    "a-ring": ("\u00e5sa#@school.example", "\u00c5sa#@school.example"),
    "ohm-sign": ("\u03c9#@school.example", "\u2126#@school.example"),
    "own-letters": ("zo\u00eb#@school.example", "zo\u00eb#@school.example"),
    "idn-domain": ("ada#@sch\u00fcle.example", "ada#@sch\u00fcle.example"),
}
UNLIKE = {
    "dotless-i": ("mia#@school.example", "m\u0131a#@school.example"),
    "dotted-capital-i": ("mia#@school.example", "m\u0130a#@school.example"),
    "long-s": ("sam#@school.example", "\u017fam#@school.example"),
    "full-width": ("a#@school.example", "\uff41#@school.example"),
    "full-width-at": ("a#@school.example", "a#\uff20school.example"),
    "ideographic-full-stop": ("a#@school.example", "a#@school\u3002example"),
    "zero-width-space": ("a#@school.example", "\u200ba#@school.example"),
    "zero-width-joiner": ("a#@school.example", "a\u200d#@school.example"),
    "mark-of-byte-order": ("a#@school.example", "\ufeffa#@school.example"),
    "soft-hyphen": ("a#@school.example", "a\u00ad#@school.example"),
    "cyrillic-a": ("a#@school.example", "\u0430#@school.example"),
    "combining-dot": ("i#@school.example", "i\u0307#@school.example"),
    "idn-and-punycode": ("ada#@sch\u00fcle.example", "ada#@xn--schle-lva.example"),
}
EQUAL = {
    "same": ("mark.kelvin#@school.example", "mark.kelvin#@school.example"),
    "capitals": ("mark.kelvin#@school.example", "MARK.Kelvin#@School.EXAMPLE"),
    "white-space": ("mark.kelvin#@school.example", " \tmark.kelvin#@school.example "),
    "punycode": ("ada#@xn--schle-lva.example", "ada#@XN--schle-lva.example"),
}


def unique(pair: tuple[str, str]) -> tuple[str, str]:
    mark = secrets.token_hex(6)
    return pair[0].replace("#", mark), pair[1].replace("#", mark)


@pytest.mark.parametrize("pair", RESEMBLING.values(), ids=RESEMBLING)
async def test_an_address_that_only_resembles_an_accounts_does_not_link_it(
    door: Door, lms: Spark, sessions: Sessions, main_app: dict[str, str], pair: tuple[str, str]
) -> None:
    stored, sent = unique(pair)
    victim = await create_user(sessions, email=stored, role="student", first_name="Mark")
    before = await user(sessions, victim)
    who = person(sent)
    made = await door(who)
    assert made != victim
    assert (await user(sessions, made)).email == unroutable_email(who["sub"])
    entries = await audited(sessions, str(made))
    assert ("spark", "user_created", {"not_linked": "address"}) in entries
    assert await says_address_exists(lms, main_app, who)
    await lms.sign_in(**anew(who))
    assert await user(sessions, victim) == before


@pytest.mark.parametrize("pair", UNLIKE.values(), ids=UNLIKE)
async def test_an_address_of_other_letters_is_another(
    door: Door, lms: Spark, sessions: Sessions, main_app: dict[str, str], pair: tuple[str, str]
) -> None:
    stored, sent = unique(pair)
    victim = await create_user(sessions, email=stored, role="student", first_name="Mark")
    before = await user(sessions, victim)
    who = person(sent)
    made = await door(who)
    assert made != victim
    assert (await user(sessions, made)).email != stored
    assert not await says_address_exists(lms, main_app, who)
    assert await user(sessions, victim) == before


@pytest.mark.parametrize("pair", EQUAL.values(), ids=EQUAL)
async def test_a_plain_address_links_the_account_that_has_it(
    door: Door, lms: Spark, sessions: Sessions, main_app: dict[str, str], pair: tuple[str, str]
) -> None:
    stored, sent = unique(pair)
    known = await create_user(sessions, email=stored, role="student", first_name="Mark")
    who = person(sent)
    assert await door(who) == known
    assert not await says_address_exists(lms, main_app, who)
    actions = {action for _, action, _ in await audited(sessions, str(known))}
    assert actions == {"sensitive_read"}  # ours, just now


AGREEING = {
    "case": ("Ada", "ADA"),
    "accents": ("Zo\u00eb", "Zoe"),
    "other-composition": ("Jose\u0301", "JOS\u00c9"),
    "sharp-s": ("Ro\u00dfa", "ROSSA"),
    "spaces": (" Ada\u00a0 Maria", "ada maria"),
    "none-in-optio": (None, "Ada"),
    "none-at-spark": ("Ada", ""),
    "empty-in-optio": ("", "Ada"),
}
DIFFERING = {
    "other": ("Ada", "Bob"),
    "longer": ("Ada", "Ada Maria"),
    "look-alike": ("Ada", "Ad\u0430"),
    "vowel-sign": ("\u0915\u093f", "\u0915\u093e"),
}


@pytest.mark.parametrize(("known", "sent"), AGREEING.values(), ids=AGREEING)
async def test_given_names_agree_without_case_and_accents(
    door: Door, sessions: Sessions, known: str | None, sent: str
) -> None:
    email = fresh_email()
    native = await create_user(sessions, email=email, role="student", first_name=known)
    assert await door(person(email, sent)) == native


@pytest.mark.parametrize(("known", "sent"), DIFFERING.values(), ids=DIFFERING)
async def test_a_student_of_another_given_name_gets_an_account_of_their_own(
    door: Door,
    lms: Spark,
    sessions: Sessions,
    main_app: dict[str, str],
    known: str,
    sent: str,
) -> None:
    email = fresh_email()
    native = await create_user(sessions, email=email, role="student", first_name=known)
    who = person(email, sent)
    made = await door(who)
    assert made != native
    assert (await user(sessions, made)).email == unroutable_email(who["sub"])
    entries = await audited(sessions, str(made))
    assert ("spark", "user_created", {"not_linked": "given_name"}) in entries
    assert await says_address_exists(lms, main_app, who)


@pytest.mark.own_database("beside GoTrue an address is that of one account")
async def test_the_sibling_whose_name_agrees_is_linked_though_another_came_first(
    door: Door, sessions: Sessions
) -> None:
    email = fresh_email()
    ada = await create_user(sessions, email=email, role="student", first_name="Ada")
    bob = await create_user(sessions, email=email, role="student", first_name="Bob")
    assert await door(person(email, "Eve")) not in (ada, bob)
    assert await door(person(email, "Ada")) == ada
    assert await door(person(email, "Bob")) == bob


async def test_a_roster_links_in_any_order_of_siblings(
    lms: Spark, course: Course, sessions: Sessions
) -> None:
    """H5: one message, in which a look-alike and another sibling stand before the owner."""
    email = f"kim_{secrets.token_hex(6)}@school.example"
    ada = await create_user(sessions, email=email, role="student", first_name="Ada")
    look_alike, bob, owner, late = (new_student() for _ in range(4))
    entries = [
        entry(look_alike, email=email.replace("k", "\u212a"), given_name="Ada"),
        entry(bob, email=email, given_name="Bob"),
        entry(owner, email=email, given_name="Ada"),
        entry(late, email=email, given_name="Ada"),
    ]
    answer = await send(lms, roster(course, *entries))
    assert answer.json()["users_created"] == 3
    accounts = [await account(sessions, name) for name in (look_alike, bob, owner, late)]
    assert [each.id == ada for each in accounts if each] == [False, False, True, False]


@pytest.mark.parametrize("spelling", ["mark.k#@school.example", "mar\u212a.\u212a#@school.example"])
@pytest.mark.parametrize(
    ("values", "status", "code"),
    [
        ({"role": "advisor"}, 409, "account_link_forbidden"),
        ({"role": "parent"}, 409, "account_link_forbidden"),
        ({"role": ADMIN}, 409, "account_link_forbidden"),
        ({"role": "student", "deletion_status": "pending"}, 403, "account_inactive"),
    ],
    ids=["H5-staff", "H5-parent", "H5-admin", "H5-pending"],
)
async def test_who_was_refused_is_refused_whatever_the_name(
    lms: Spark, sessions: Sessions, values: dict[str, Any], status: int, code: str, spelling: str
) -> None:
    stored, sent = unique(("mark.k#@school.example", spelling))
    await create_user(sessions, email=stored, first_name="Grace", **values)
    who = lms.claims(**person(sent))
    answer = await lms.launch(sign_token(who, key=token_key(lms.sso_secret)))
    assert_problem(answer, status, code)
    assert await account(sessions, who["sub"]) is None


async def test_no_known_student_takes_an_address_that_theirs_only_resembles(
    door: Door, lms: Spark, sessions: Sessions
) -> None:
    """Else the honest owner would find it taken."""
    free, alike = unique(("mark.k#@school.example", "mar\u212a.\u212a#@school.example"))
    attacker = person("")
    made = await door(attacker)
    assert await door(attacker | {"email": alike}) == made
    await lms.sign_in(**anew(attacker) | {"email": alike})
    assert (await user(sessions, made)).email == unroutable_email(attacker["sub"])
    owner = await door(person(free))
    assert (await user(sessions, owner)).email == free


async def test_names_of_a_linked_account_stay_as_they_are(
    door: Door, lms: Spark, sessions: Sessions
) -> None:
    """H5: who made the account in Optio named it; what Spark made follows Spark."""
    email = fresh_email()
    names = {"first_name": "Zo\u00eb", "last_name": "Own", "display_name": "Zo"}
    native = await create_user(sessions, email=email, role="student", **names)
    who = person(email, "Zoe")
    made_by_spark = person(fresh_email(), "Zoe")
    assert await door(who) == native
    made = await door(made_by_spark)
    for each in (who, made_by_spark):
        await lms.sign_in(**anew(each) | {"given_name": "Grace", "family_name": "New"})
    kept, followed = await user(sessions, native), await user(sessions, made)
    assert {name: getattr(kept, name) for name in names} == names
    assert kept.last_active is not None
    assert (followed.first_name, followed.display_name) == ("Grace", "Grace New")


async def test_of_look_alikes_and_the_owner_at_once_only_the_owner_is_linked(
    lms: Spark, sessions: Sessions
) -> None:
    """H5: they take turns, as claimants of one address do."""
    plain, alike = unique(("mark.k#@school.example", "mar\u212a.\u212a#@school.example"))
    known = await create_user(sessions, email=plain, role="student", first_name="Mark")
    everybody = [person(alike) for _ in range(8)] + [person(plain)]
    signed_in = await asyncio.gather(*(lms.sign_in(**who) for who in everybody))
    assert [each.user_id == str(known) for each in signed_in] == [False] * 8 + [True]


# ---------------------------------------------------------------------------- capitals


@pytest.fixture(scope="module")
async def adopted(settings: Settings) -> AsyncIterator[tuple[Settings, Sessions]]:
    """A database whose `users.email` holds what people typed, as the main app's does."""
    async with ready_database(settings) as own:
        await execute(own, "alter table users drop constraint if exists ck_users_email_lower_case")
        async with look_into(own) as opened:
            yield own, opened


@pytest.mark.parametrize(
    ("stored", "linked"),
    [
        ("Mark.Kelvin#@School.Example", "linked"),
        ("mar\u212a.\u212aelvin#@school.example", "new"),
        ("MAR\u212a.\u212aELVIN#@school.example", "new"),
    ],
    ids=["H5-capitals", "H5-kelvin-sign", "H5-kelvin-sign-and-capitals"],
)
async def test_an_account_is_found_by_its_ascii_letters_in_any_case(
    adopted: tuple[Settings, Sessions], stored: str, linked: str
) -> None:
    """Postgres lowers U+212A to k as well, but who registered that is not the plain one's child."""
    own, sessions = adopted
    stored, sent = unique((stored, "mark.kelvin#@school.example"))
    native = await create_user(sessions, email=stored, role="student", first_name="Mark")
    async with spark_at(own) as lms:
        student = await lms.sign_in(**person(sent))
        assert (student.user_id == str(native)) == (linked == "linked")
        await lms.sign_in(sub=student.spark_user_id, email=sent)
    assert (await user(sessions, native)).email == stored


async def test_postgres_would_fold_a_look_alike(sessions: Sessions) -> None:
    """Why the address is compared as `lower(email COLLATE "C")`: see that it is needed."""
    async with sessions() as session:
        found = await session.execute(
            text('select lower(:sign), lower(:sign collate "C")'), {"sign": "\u212a"}
        )
        assert tuple(found.one()) == ("k", "\u212a")
