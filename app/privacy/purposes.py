"""For what a student's data are kept, and who can read them: words for docs/data-protection.md."""

from typing import NamedTuple

_SERVICES = "programs with a service key of the scope `read`, the main app's among them"


class Purpose(NamedTuple):
    """`why` it is needed, in a sentence, and its `readers`, in a list of words."""

    title: str
    why: str
    readers: str


ACCOUNT = Purpose(
    "The account",
    "A child who clicks in Spark comes into Optio without a password, and homework finds its"
    " owner.",
    f"the student; the school's staff in Optio, as Optio lets them; {_SERVICES}; operators, the"
    " e-mail address only in part",
)
SIGN_IN = Purpose(
    "Signing in",
    "Who is signed in stays so for a while, and can be signed out at once when something leaked.",
    "nobody; that a session is open, and since when, programs with a service key can ask",
)
HOMEWORK = Purpose(
    "Homework and evidence",
    "What a student hands in at Spark is shown as evidence of a task, and can be edited there.",
    "the student; the school's staff in Optio, and whom the student shows the portfolio, without"
    f" what the student hides; {_SERVICES}; operators in the console the text of a message, after"
    " a click that is written down",
)
PROGRESS = Purpose(
    "Progress",
    "A completed task counts once, for experience points (XP) and for credit.",
    f"the student; the school's staff in Optio; {_SERVICES}",
)
GRADES = Purpose(
    "Grades",
    "A grade that is given in Optio arrives in Spark's gradebook, once and in the end.",
    f"the school's staff in Optio; Spark; {_SERVICES}; operators",
)
OPERATION = Purpose(
    "Finding and mending faults",
    "Homework that was refused or got lost is found and taken after all, nothing is taken twice,"
    " and whoever asks why something is missing gets an answer.",
    f"{_SERVICES}; operators in the console",
)
ACCOUNTABILITY = Purpose(
    "Accountability",
    "The school can be told who saw, changed, kept or erased a child's data.",
    "operators at the command line; holds: whoever has a service key of the scope `admin`",
)
PURPOSES = (ACCOUNT, SIGN_IN, HOMEWORK, PROGRESS, GRADES, OPERATION, ACCOUNTABILITY)
