"""URLs in canonical form, so that two spellings of one address compare equal.

The canonical form, for any URL with `//` after its scheme:

- control characters, enclosing white space and angle brackets, and the fragment are dropped;
- scheme and host in lower case; user information, the scheme's own port and the host's last dot dropped;
- an international host in punycode (UTS 46, as browsers do); one that is not valid stays, percent-encoded;
- `\\` read as `/`, dot segments resolved, an empty path becomes `/`;
- percent-encoding decoded where it encodes an unreserved character, upper-case where it stays, added where missing;
- tracking parameters (`utm_*`, `gclid`, …: `TRACKING`) dropped, and the `?` with the last of them; the others keep
  their order, because some servers read it.

`http` and `https`, `www.` and none, `/` at the end and none stay different: there are sites where they differ, and
exact-text deduplication joins the pages where they do not. Anything else (`dns:`, `urn:`, no scheme) only loses its
fragment and surroundings.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import idna

_ADVERTISERS = (
    "gclid",
    "gclsrc",
    "gbraid",
    "wbraid",
    "dclid",
    "fbclid",
    "msclkid",
    "yclid",
    "twclid",
    "ttclid",
    "igshid",
)
_MAILINGS = ("mc_cid", "mc_eid", "_hsenc", "_hsmi", "mkt_tok", "vero_id", "oly_anon_id", "oly_enc_id", "_ga", "_gl")
TRACKING = frozenset((*_ADVERTISERS, *_MAILINGS))
"""Query parameters that say where a visitor came from, and nothing of the page; besides `utm_*`."""
TRACKING_PREFIX = "utm_"

_SURROUNDINGS = "".join(map(chr, range(33))) + "<>"
_CONTROLS = dict.fromkeys((*range(32), 127))
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):[/\\]{2}([^/\\?]*)([^?]*)(?:\?(.*))?", re.DOTALL)
_AUTHORITY = re.compile(r"(?:.*@)?(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::([0-9]*))?", re.DOTALL)
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_PORTS = {"http": "80", "https": "443", "ftp": "21"}

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What a path or query may hold as it is (RFC 3986 `pchar`, `/`, `?`), and `%`, which `_ESCAPE` has seen to.
_SAFE = "!$&'()*+,;=:@/?%"
_PLAIN = re.compile(r"[\w!$&'()*+,;=:@/?.~-]*", re.ASCII)


def canonical(url: str) -> str:
    """Return `url` in the canonical form described above. Idempotent; never raises."""
    stripped = url.translate(_CONTROLS).partition("#")[0].strip(_SURROUNDINGS)
    found = _URL.fullmatch(stripped)
    if not found:
        return stripped
    scheme, authority, path, query = found[1].lower(), found[2], found[3], found[4]
    path = _without_dots(_escaped(path.replace("\\", "/")))
    address = f"{scheme}://{_authority(authority, scheme)}{path}"
    kept = _without_tracking(_escaped(query)) if query else ""
    return f"{address}?{kept}" if kept else address


def domain_of(url: str) -> str:
    """Return the host of `url` in canonical form, without port and leading `www.`; empty where there is none."""
    return domain_of_canonical(canonical(url))


def domain_of_canonical(url: str) -> str:
    """`domain_of` for a URL that is in canonical form already."""
    authority = url.partition("://")[2].partition("/")[0]
    host = authority if authority.endswith("]") else authority.partition(":")[0]
    if authority.startswith("["):
        host = authority.partition("]")[0] + "]"
    return host.removeprefix("www.")


def _authority(authority: str, scheme: str) -> str:
    found = _AUTHORITY.fullmatch(authority)
    if not found:
        return _host(authority.rpartition("@")[2])
    port = (found[2] or "").lstrip("0")
    return _host(found[1]) + (f":{port}" if port and port != _PORTS.get(scheme) else "")


def _host(host: str) -> str:
    lower = host.lower()
    if _HOST.fullmatch(lower):
        return lower.rstrip(".")
    lower = unquote(lower).lower()
    if not lower.isascii():
        lower = _punycode(lower)
    return lower.rstrip(".") if _HOST.fullmatch(lower) else quote(lower, safe="", errors="replace")


def _punycode(host: str) -> str:
    try:
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        return host


def _normal_escape(found: re.Match[str]) -> str:
    if found[1] is None:
        return "%25"
    char = chr(int(found[1], 16))
    return char if char in _UNRESERVED else f"%{found[1].upper()}"


def _escaped(part: str) -> str:
    if _PLAIN.fullmatch(part):
        return part
    return quote(_ESCAPE.sub(_normal_escape, part), safe=_SAFE, errors="surrogatepass")


def _without_dots(path: str) -> str:
    """Resolve `.` and `..` (RFC 3986, section 5.2.4) in a path that begins with a slash or is empty."""
    if "/." not in path:
        return path or "/"
    segments: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            del segments[-1:]
        elif part != ".":
            segments.append(part)
    if parts[-1] in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)


def _without_tracking(query: str) -> str:
    if "=" not in query and "&" not in query:
        return "" if _is_tracking(query) else query
    return "&".join(pair for pair in query.split("&") if not _is_tracking(pair))


def _is_tracking(pair: str) -> bool:
    name = pair.partition("=")[0].lower()
    return name.startswith(TRACKING_PREFIX) or name in TRACKING
