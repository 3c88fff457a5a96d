"""The pages before sign-in, as HTML: no script, nothing from outside. app.py answers its routes with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

from study import passwords

CONTENT_SECURITY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

_STYLE = """
:root { color-scheme: light; --ink: #1b232d; --quiet: #55606e; --line: #d5dbe3; --blue: #0b4f9e; --red: #e39a9a; }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; color: var(--ink); background: #f7f8fa; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
header { background-color: #fffafa; border-bottom: 1px solid #f0d0d0;
  background-image: linear-gradient(#f3c4c4 1px, transparent 1px), linear-gradient(90deg, #f3c4c4 1px, transparent 1px),
    linear-gradient(#fbe6e6 1px, transparent 1px), linear-gradient(90deg, #fbe6e6 1px, transparent 1px);
  background-size: 20px 20px, 20px 20px, 4px 4px, 4px 4px; }
header svg { display: block; width: 100%; height: 120px; }
main { max-width: 46rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
.narrow { max-width: 30rem; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 0 0 .35rem; }
p { margin: 0 0 1rem; } .quiet { color: var(--quiet); }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); margin-top: 1.5rem; }
.card { background: #fff; border: 1px solid var(--line); border-radius: .6rem; padding: 1.25rem 1.4rem 1.4rem; display: flex; flex-direction: column; }
.card p { flex: 1; }
label { display: block; margin-top: 1rem; font-weight: 600; } label small { font-weight: 400; color: var(--quiet); display: block; }
input { width: 100%; margin-top: .25rem; padding: .55rem .7rem; font: inherit; color: inherit; background: #fff; border: 1px solid #8a95a3; border-radius: .4rem; }
button, .button { display: block; width: 100%; padding: .6rem 1rem; font: inherit; font-weight: 600; text-align: center; text-decoration: none; cursor: pointer;
  color: #fff; background: var(--blue); border: 1px solid var(--blue); border-radius: .4rem; }
button:hover, .button:hover { background: #083d7c; }
.second { color: var(--blue); background: #fff; } .second:hover { color: #fff; }
form > button { margin-top: 1.5rem; } .card form > button { margin-top: 0; } .card form > button + button { margin-top: .6rem; }
:focus-visible { outline: 3px solid #f0a500; outline-offset: 2px; }
[role=alert] { border-left: 4px solid #b3261e; background: #fdf1f0; padding: .7rem 1rem; border-radius: .3rem; }
.demo { border-left: 4px solid #b26a00; background: #fff6e5; padding: .5rem 1rem; border-radius: .3rem; }
.people { list-style: none; margin: 0; padding: 0; display: grid; gap: .5rem; }
.people form > button { margin: 0; text-align: left; font-weight: 400; border-color: var(--line); color: var(--ink); }
.people strong { display: block; color: var(--blue); } .people button:hover strong, .people button:hover { color: #fff; }
section { margin-top: 2.5rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
progress { width: 100%; height: 1.2rem; accent-color: var(--blue); }
"""

_BEAT = "l12 0 q6 -14 12 0 l8 0 l4 6 l7 -54 l8 66 l5 -18 l14 0 q11 -24 22 0 l28 0"
_TRACE = f"M0 74 {_BEAT * 14}"
_HEADER = (
    '<header aria-hidden="true"><svg viewBox="0 0 1440 120" preserveAspectRatio="xMinYMid slice">'
    f'<path d="{_TRACE}" fill="none" stroke="#1b232d" stroke-width="1.6" stroke-linejoin="round"/></svg></header>'
)
_ICON = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='3' fill='%23fff4f4'/%3E%3Cpath d='M1 9h4l1.5-6 2.5 11 1.5-5H15' fill='none' stroke='%230b4f9e' stroke-width='1.5'/%3E%3C/svg%3E"


def welcome(csrf: str, alert: str = "", *, fetched: Sequence[tuple[str, str]] = ()) -> str:
    """The choice of an empty database: look around, or set up a study. fetched: name and title of collections that the demo can show."""
    return _page(
        "Welcome",
        f"""<h1>Blind reading of real and synthetic ECGs</h1>
<p>Physicians read 12-lead ECGs without knowing which were recorded from a patient and which were drawn by a diffusion model.
blindstrip runs the rounds, keeps every answer, and says what the answers show.</p>{_alert(alert)}
<div class="cards">
<div class="card"><h2>Look around</h2><p class="quiet">Makes a demo in about a minute: two hospitals, four readers, a round to read and a finished study.
{_real_ecgs(fetched)}</p>
<form method="post" action="/welcome">{_csrf(csrf)}{_with_recordings(fetched)}<button{" class=second" if fetched else ""}>Look around{" with simulated ECGs" if fetched else ""}</button></form></div>
<div class="card"><h2>Set up a study</h2><p class="quiet">Creates your account. You then bring your own recordings, or fetch open ones from PhysioNet, invite readers from your hospitals, and open the first round.</p>
<a class="button second" href="/set-up">Set up a study</a></div>
</div>""",
    )


def _real_ecgs(fetched: Sequence[tuple[str, str]]) -> str:
    if not fetched:
        return "No recordings ship with blindstrip, so the demo's real ECGs come from a simulator, and every screen says so."
    return f"Its real ECGs can be the recordings of {escape(' or '.join(title for _, title in fetched))} that were fetched to this server."


def _with_recordings(fetched: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f'<button name="collection" value="{escape(name)}">Look around with recordings of {escape(title)}</button> ' for name, title in fetched
    )


def making_demo(done: float, total: int, message: str) -> str:
    """The demo on its way; asks the server again every second."""
    bar = f'<progress value="{done}" max="{total}" aria-label="Progress"></progress>' if total > 0 else '<progress aria-label="Progress"></progress>'
    body = f"""<h1>Making the demo</h1><p>Drawing ECGs, simulating others, and letting four simulated readers read a first study. This takes about a minute.</p>
{bar}<p class="quiet" role="status">{escape(message) or "Waiting for the worker to start"}</p>"""
    return _page("Making the demo", body, refresh=1)


def demo_failed(csrf: str, message: str) -> str:
    """The demo could not be made: why, and another try."""
    again = f'<form method="post" action="/welcome">{_csrf(csrf)}<button>Try again</button></form>'
    return _page("The demo could not be made", f"<h1>The demo could not be made</h1>{_alert(message)}{again}", narrow=True)


def set_up(csrf: str, alert: str = "", *, name: str = "", username: str = "", site: str = "") -> str:
    """The first real person. What was typed stays, but for the password."""
    return _page(
        "Set up a study",
        f"""<h1>Set up a study</h1><p class="quiet">The first account administers this installation: it can invite people, bring in recordings and run studies.</p>{_alert(alert)}
<form method="post" action="/set-up">{_csrf(csrf)}
{_input("Your name", "name", name, "name", autofocus=True)}
{_input("User name", "username", username, "username", hint="What you will sign in with")}
{_input("Hospital", "site", site, "organization")}
{_input("Password", "password", "", "new-password", kind="password", hint=f"At least {passwords.LENGTH} characters. A short sentence is good.")}
<button>Create account</button></form>""",
        narrow=True,
    )


def sign_in(
    csrf: str,
    alert: str = "",
    *,
    username: str = "",
    demo: Iterable[tuple[str, str, str, str | None]] = (),
    may_set_up: bool = False,
    hospitals: Sequence[str] = (),
    notice: str = "",
    fetched: Sequence[tuple[str, str]] = (),
) -> str:
    """User name and password; above them the hospitals' own sign-on; or, while the demo is open, its people: (user name, name, role, hospital) each.

    notice: of the demo. fetched: name and title of collections with whose recordings the demo could be made too.
    """
    people = "".join(_demo_person(csrf, *person) for person in demo)
    body = ""
    if people:
        body += f"""<h1>Look around</h1><p class="demo">{escape(notice)}.</p><p>Sign in with one click as somebody of the demo.</p><ul class="people">{people}</ul>"""
    if people and fetched:
        offer = f'<form method="post" action="/welcome">{_csrf(csrf)}{_with_recordings(fetched)}</form>'
        body += f"""<section><h2>With recordings</h2><p class="quiet">{_real_ecgs(fetched)} This takes about a minute; what is there stays.</p>{offer}</section>"""
    if may_set_up:
        body += """<section><h2>Start for real</h2><p class="quiet">Setting up a study closes the demo.</p><a class="button second" href="/set-up">Set up a study</a></section>"""
    heading = "h2" if people else "h1"
    form = f"""<{heading}>Sign in</{heading}>
<form method="post" action="/sign-in">{_csrf(csrf)}
{_input("User name", "username", username, "username", autofocus=not people)}
{_input("Password", "password", "", "current-password", kind="password")}
<button>Sign in</button></form>"""
    if not people:
        body = _alert(alert) + "".join(_hospital(name, len(hospitals)) for name in hospitals) + form + body
    elif may_set_up:  # nobody has a password yet
        body = _alert(alert) + body
    else:
        body = _alert(alert) + body + f"<section>{form}</section>"
    return _page("Sign in", body, narrow=True)


def join(csrf: str, alert: str = "", *, link: str, name: str, username: str) -> str:
    """An invitation: the form in which somebody chooses their password."""
    return _page(
        "Welcome",
        f"""<h1>Welcome, {escape(name)}</h1><p class="quiet">Choose a password. Nobody else will know it. You sign in with the user name
<strong>{escape(username)}</strong>.</p>{_alert(alert)}
<form method="post" action="/join">{_csrf(csrf)}<input type="hidden" name="link" value="{escape(link)}">
<input type="hidden" name="username" value="{escape(username)}" autocomplete="username">
{_input("Password", "password", "", "new-password", kind="password", hint=f"At least {passwords.LENGTH} characters. A short sentence is good.", autofocus=True)}
{_input("Once more", "again", "", "new-password", kind="password")}
<button>Set the password and sign in</button></form>""",
        narrow=True,
    )


def _hospital(name: str, number: int) -> str:
    where = "your hospital" if number == 1 else name
    return f'<p><a class="button second" href="/sign-in/hospital?at={quote(name)}">Sign in through {escape(where)}</a></p>'


def _demo_person(csrf: str, username: str, name: str, role: str, site: str | None) -> str:
    what = escape(f"{role}, {site}" if site else role)
    return f"""<li><form method="post" action="/demo/sign-in">{_csrf(csrf)}<input type="hidden" name="username" value="{escape(username)}">
<button class="second"><strong>{escape(name)}</strong><span>{what}</span></button></form></li>"""


def _page(title: str, body: str, *, narrow: bool = False, refresh: int | None = None) -> str:
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - blindstrip</title>{again}
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="{_ICON}"><style>{_STYLE}</style></head>
<body>{_HEADER}<main{' class="narrow"' if narrow else ""}>{body}</main></body></html>"""


def _alert(message: str) -> str:
    return f'<p role="alert">{escape(message)}</p>' if message else ""


def _csrf(token: str) -> str:
    return f'<input type="hidden" name="csrf" value="{escape(token)}">'


def _input(label: str, name: str, value: str, autocomplete: str, *, kind: str = "text", hint: str = "", autofocus: bool = False) -> str:
    small = f"<small>{hint}</small>" if hint else ""
    focus = " autofocus" if autofocus else ""
    return f'<label>{label}{small}<input name="{name}" type="{kind}" value="{escape(value)}" autocomplete="{autocomplete}" required maxlength="256"{focus}></label>'
