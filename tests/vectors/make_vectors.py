"""Writes tokens.json: tokens with exactly one fault each, by an encoder that shares no line with the core.

Run it to write the file; a test compares the checked-in file with it. All keys are for tests only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("tokens.json")

KEY = bytes(range(32))
KEY_ID = "k-test"
NOW = 1_800_000_000
ORG = '["org","acme","*"]'
VALID = f'["valid",null,{NOW + 3600}]'
DEPLOY = (
    ORG,
    '["if_present",[["apps",{"web":"*"}],["features",{"builder":"*","wg":"*"}],["storage_objects",{}]],"r"]',
    '["if_present",[["app_features",{"images":"*"}]],"*"]',
    VALID,
)
WEB = {"org": "acme", "app": "web", "actions": "w"}


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _packet(kind: int, data: bytes) -> bytes:
    return bytes([kind]) + _varint(len(data)) + data


def _token_id() -> str:
    milliseconds = (NOW - 60) * 1000
    raw = milliseconds.to_bytes(6, "big") + bytes([0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1])
    return _b64(raw)


def identifier(*, key_id: str = KEY_ID, version: int = 1, token_id: str = "", org: str = "acme") -> bytes:
    parts = [version, key_id, token_id or _token_id(), "deploy", org, ""]
    return json.dumps(parts, separators=(",", ":")).encode()


def root(ident: bytes, key: bytes = KEY) -> bytes:
    prk = _mac(bytes(32), key)
    return _mac(prk, b"almond/v1/root" + ident + b"\x01")


def sign(ident: bytes, caveats: list[bytes], key: bytes = KEY) -> bytes:
    link = _mac(_mac(b"macaroons-key-generator", root(ident, key)), ident)
    for caveat in caveats:
        link = _mac(link, caveat)
    return link


def binary(
    caveats: list[bytes],
    *,
    ident: bytes | None = None,
    signature: bytes | None = None,
    location: bytes = b"almond",
    key: bytes = KEY,
) -> bytes:
    ident = identifier() if ident is None else ident
    out = b"\x02" + _packet(1, location) + _packet(2, ident) + b"\x00"
    for caveat in caveats:
        out += _packet(2, caveat) + b"\x00"
    return out + b"\x00" + _packet(6, sign(ident, caveats, key) if signature is None else signature)


def text(data: bytes) -> str:
    return checked(f"alm1_{_b64(data)}")


def checked(body: str) -> str:
    return f"{body}_{_b64(zlib.crc32(body.encode()).to_bytes(4, 'big'))}"


def token(*caveats: str, **changes: Any) -> str:
    return text(binary([caveat.encode() for caveat in caveats], **changes))


def case(
    name: str, token: str, stage: str, result: str, access: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "key_id": KEY_ID,
        "key": KEY.hex(),
        "now": NOW,
        "token": token,
        "access": WEB if access is None else access,
        "stage": stage,
        "result": result,
    } | more


def allowed(name: str, *caveats: str, access: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return case(name, token(*caveats), "allowed", "ALLOWED", access, **more)


def refused(
    name: str, result: str, index: int, *caveats: str, access: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return case(name, token(*caveats), "clear", result, access, caveat_index=index, **more)


def text_cases() -> list[dict[str, Any]]:
    good = token(*DEPLOY)
    data = binary([caveat.encode() for caveat in DEPLOY])
    body = f"alm1_{_b64(data)}"
    spare = _b64(data)
    while len(spare) % 4 == 0:  # a body with spare bits, one of which is set
        data = binary([*(caveat.encode() for caveat in DEPLOY), b'["label","' + b"A" * 22 + b'","x"]'])
        spare = _b64(data)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    flipped = spare[:-1] + alphabet[alphabet.index(spare[-1]) + 1]
    return [
        case("no text", "", "decode", "MISSING"),
        case("another service's token", "fm2_lJPECAAAAAAAAAAB", "decode", "FOREIGN"),
        case("no prefix", good.removeprefix("alm1_"), "decode", "FOREIGN"),
        case("prefix in upper case", "ALM1_" + good[5:], "decode", "FOREIGN"),
        case("prefix alone", "alm1_", "decode", "TRUNCATED"),
        case("last character cut off", good[:-1], "decode", "TRUNCATED"),
        case("half of it cut off", good[: len(good) // 2], "decode", "TRUNCATED"),
        case(
            "one character mistyped",
            good[:40] + ("A" if good[40] != "A" else "B") + good[41:],
            "decode",
            "TRUNCATED",
        ),
        case("checksum mistyped", good[:-6] + "AAAAAA", "decode", "TRUNCATED"),
        case("checksum without its mark", body + good[-6:], "decode", "TRUNCATED"),
        case("one character more", good + "A", "decode", "TRUNCATED"),
        case("padding", checked(body + "="), "decode", "MALFORMED"),
        case("standard base64 alphabet", checked("alm1_" + "+/" * 40), "decode", "MALFORMED"),
        case("spare bits", checked("alm1_" + flipped), "decode", "MALFORMED"),
        case("an impossible length of base64", checked("alm1_AAAAA"), "decode", "MALFORMED"),
        case("nothing inside", checked("alm1_"), "decode", "MALFORMED"),
        case("too long", "alm1_" + "A" * 16_400, "decode", "TOO_LARGE"),
    ]


def binary_cases() -> list[dict[str, Any]]:
    caveats = [caveat.encode() for caveat in DEPLOY]
    data = binary(caveats)
    ident = identifier()
    head = b"\x02" + _packet(1, b"almond")
    tail = data[data.index(_packet(2, ident)) + len(_packet(2, ident)) :]
    long_ident = b"\x02" + bytes([len(ident) | 0x80, 0]) + ident
    third = _packet(1, b"elsewhere") + _packet(2, b"an id") + _packet(4, b"v" * 72) + b"\x00"
    with_third = data[: -len(_packet(6, b"x" * 32)) - 1] + third
    link = sign(ident, caveats)
    third_signature = _mac(link, _mac(link, b"v" * 72) + _mac(link, b"an id"))
    located = _packet(1, b"almond") + _packet(2, ORG.encode()) + b"\x00"
    return [
        case("macaroon version 1", text(b"0021location almond\n" + data), "decode", "MALFORMED"),
        case("version byte 3", text(b"\x03" + data[1:]), "decode", "MALFORMED"),
        case("another location", token(*DEPLOY, location=b"Almond"), "decode", "MALFORMED"),
        case("no location", text(b"\x02" + data[len(head) :]), "decode", "MALFORMED"),
        case("no identifier", text(head + b"\x00" + tail[1:]), "decode", "MALFORMED"),
        case("a length that is not minimal", text(head + long_ident + tail), "decode", "MALFORMED"),
        case("a length past the end", text(data[:-34] + b"\x06\x7f" + data[-32:]), "decode", "MALFORMED"),
        case("a varint without end", text(head + b"\x02" + b"\xff" * 600), "decode", "MALFORMED"),
        case("an empty caveat", text(binary([*caveats, b""])), "decode", "MALFORMED"),
        case("a byte after the signature", text(data + b"\x00"), "decode", "MALFORMED"),
        case("a signature of 31 bytes", token(*DEPLOY, signature=b"s" * 31), "decode", "MALFORMED"),
        case("no signature", text(data[:-34]), "decode", "MALFORMED"),
        case(
            "a first-party caveat with a location",
            text(
                head
                + _packet(2, ident)
                + b"\x00"
                + located
                + b"\x00"
                + _packet(6, sign(ident, [ORG.encode()]))
            ),
            "decode",
            "MALFORMED",
        ),
        case("65 caveats", token(ORG, *['["action","*"]'] * 64), "decode", "TOO_LARGE"),
        case("513 commas", token(ORG, "[" + json.dumps("x") + ",1" * 511 + "]"), "decode", "TOO_LARGE"),
        case(
            "identifier of another version",
            token(*DEPLOY, ident=identifier(version=2)),
            "decode",
            "MALFORMED",
        ),
        case(
            "token id that is no UUIDv7",
            token(*DEPLOY, ident=identifier(token_id="A" * 22)),
            "decode",
            "MALFORMED",
        ),
        case(
            "issued after the year 9999",
            token(*DEPLOY, ident=identifier(token_id="____" + _token_id()[4:])),
            "decode",
            "MALFORMED",
        ),
        case("home org that is no id", token(*DEPLOY, ident=identifier(org="*")), "decode", "MALFORMED"),
        case(
            "identifier with white space",
            token(*DEPLOY, ident=ident.replace(b",", b", ", 1)),
            "decode",
            "MALFORMED",
        ),
        case(
            "a third-party caveat",
            text(with_third + b"\x00" + _packet(6, third_signature)),
            "clear",
            "THIRD_PARTY",
            caveat_index=4,
        ),
    ]


def canonical_cases() -> list[dict[str, Any]]:
    bad = {
        "a caveat with white space": '["action", "*"]',
        "a caveat that is an object": '{"action":"*"}',
        "a caveat without a name": "[]",
        "a caveat whose name is a number": "[1]",
        "keys out of order": '["apps",{"web":"*","api":"*"}]',
        "a key twice": '["apps",{"web":"*","web":"r"}]',
        "an integer above 2^53-1": '["x",9007199254740992]',
        "a negative integer": '["x",-1]',
        "minus zero": '["x",-0]',
        "a leading zero": '["x",01]',
        "a fraction": '["x",1.0]',
        "true": '["x",true]',
        "seven brackets deep": '["x",[[[[[[]]]]]]]',
        "an escape for a plain letter": '["x","\\u0061"]',
        "an escape in upper case": '["x","\\u001F"]',
        "a slash escaped": '["x","\\/"]',
        "what Go escapes": '["x","\\u003c\\u003e\\u0026\\u2028"]',
        "what Gson escapes": '["x","\\u0027\\u003d\\u003c\\u003e"]',
        "a control character raw": '["x","\t"]',
        "a lone surrogate": '["x","\\ud800"]',
        "a key outside ASCII": '["x",{"é":1}]',
        "trailing comma": '["x",1,]',
    }
    cases = [case(name, token(ORG, caveat), "decode", "MALFORMED") for name, caveat in bad.items()]
    overlong = b'["x","' + b"\xc0\xaf" + b'"]'
    cases.append(case("overlong UTF-8", text(binary([ORG.encode(), overlong])), "decode", "MALFORMED"))
    label = '["label","AAAAAAAAAAAAAAAAAAAAAA","<>&\'= é"]'
    cases.append(allowed("what Go and Gson escape, raw", ORG, label))
    return cases


def chain_cases() -> list[dict[str, Any]]:
    caveats = [caveat.encode() for caveat in DEPLOY]
    whole = sign(identifier(), caveats)
    wider = [caveats[0], caveats[1].replace(b'"r"]', b'"*"]'), *caveats[2:]]
    flipped = bytes([whole[0] ^ 1]) + whole[1:]
    return [
        case(
            "another installation's key id",
            token(*DEPLOY, ident=identifier(key_id="k-else")),
            "verify",
            "UNKNOWN_KEY",
        ),
        case("signed with another key", token(*DEPLOY, key=bytes(32)), "verify", "BROKEN_CHAIN"),
        case("one bit of the signature", text(binary(caveats, signature=flipped)), "verify", "BROKEN_CHAIN"),
        case(
            "the last caveat removed", text(binary(caveats[:-1], signature=whole)), "verify", "BROKEN_CHAIN"
        ),
        case(
            "a middle caveat removed",
            text(binary([caveats[0], *caveats[2:]], signature=whole)),
            "verify",
            "BROKEN_CHAIN",
        ),
        case("a caveat widened", text(binary(wider, signature=whole)), "verify", "BROKEN_CHAIN"),
        case(
            "two caveats swapped",
            text(binary([caveats[0], caveats[2], caveats[1], caveats[3]], signature=whole)),
            "verify",
            "BROKEN_CHAIN",
        ),
        case(
            "a caveat added without its link",
            text(binary([*caveats, b'["action","*"]'], signature=whole)),
            "verify",
            "BROKEN_CHAIN",
        ),
        case(
            "the home org changed",
            text(binary(caveats, ident=identifier(org="other"), signature=whole)),
            "verify",
            "BROKEN_CHAIN",
        ),
    ]


def clear_cases() -> list[dict[str, Any]]:
    def app(app: str, actions: str = "r") -> dict[str, Any]:
        return {"org": "acme", "app": app, "actions": actions}

    def stored(path: str, actions: str = "r") -> dict[str, Any]:
        return {"org": "acme", "storage_object": path, "actions": actions}

    bare = {"org": "acme", "actions": "r"}
    soon, gone = f'["valid",{NOW + 6},null]', f'["valid",null,{NOW}]'
    return [
        allowed("a deploy token writes its app", *DEPLOY),
        allowed("a deploy token reads the bare org", *DEPLOY, access=bare),
        refused("a deploy token writes the bare org", "ACTION", 1, *DEPLOY, access=bare | {"actions": "w"}),
        refused("a deploy token at another app", "WRONG_OBJECT", 1, *DEPLOY, access=app("api")),
        refused("a deploy token at storage", "WRONG_OBJECT", 1, *DEPLOY, access=stored("a")),
        refused(
            "a deploy token mints",
            "WRONG_OBJECT",
            2,
            *DEPLOY,
            access=app("web", "c") | {"app_feature": "tokens"},
        ),
        case("no caveat at all", token(), "clear", "NO_ORG"),
        case("the first caveat is not an org", token('["action","*"]', ORG), "clear", "NO_ORG"),
        refused("another org", "WRONG_ORG", 0, ORG, access={"org": "other", "actions": "r"}),
        allowed("any org", '["org","*","*"]'),
        refused("org mask", "ACTION", 0, '["org","acme","r"]'),
        allowed("one of several orgs", '["orgs",{"acme":"w","other":"*"}]'),
        refused("several orgs, other mask", "ACTION", 0, '["orgs",{"acme":"r","other":"*"}]'),
        refused("no org is left", "WRONG_ORG", 0, '["orgs",{}]'),
        refused("apps names another", "WRONG_OBJECT", 1, ORG, '["apps",{"webb":"*"}]'),
        refused("apps and no app named", "NOT_NAMED", 1, ORG, '["apps",{"web":"*"}]', access=bare),
        refused("an empty set of apps", "WRONG_OBJECT", 1, ORG, '["apps",{}]'),
        allowed("any app", ORG, '["apps",{"*":"w"}]'),
        refused("star beside another app", "BROKEN_CAVEAT", 1, ORG, '["apps",{"*":"w","web":"*"}]'),
        refused(
            "features at another feature",
            "WRONG_OBJECT",
            1,
            ORG,
            '["features",{"wg":"*"}]',
            access={"org": "acme", "feature": "builder", "actions": "r"},
        ),
        allowed("storage under the prefix", ORG, '["storage_objects",{"/a":"r"}]', access=stored("/a/b")),
        refused(
            "storage beside the prefix",
            "WRONG_OBJECT",
            1,
            ORG,
            '["storage_objects",{"/a":"r"}]',
            access=stored("/ab"),
        ),
        refused(
            "two prefixes intersect",
            "ACTION",
            1,
            ORG,
            '["storage_objects",{"/a":"*","/a/b":"r"}]',
            access=stored("/a/b/c", "w"),
        ),
        refused("action", "ACTION", 1, ORG, '["action","r"]'),
        refused("one of two actions covered", "ACTION", 1, ORG, '["action","r"]', access=app("web", "rw")),
        allowed("both of two actions covered", ORG, '["action","rw"]', access=app("web", "rw")),
        refused("an empty mask", "ACTION", 1, ORG, '["action",""]'),
        refused("an unknown action letter", "BROKEN_CAVEAT", 1, ORG, '["action","rx"]'),
        refused("a mask out of order", "BROKEN_CAVEAT", 1, ORG, '["action","wr"]'),
        refused("expired, at the very second", "EXPIRED", 1, ORG, gone),
        allowed("the last second", ORG, f'["valid",null,{NOW + 1}]'),
        refused("not valid yet, beyond the leeway", "NOT_YET_VALID", 1, ORG, soon),
        allowed("not valid yet, within the leeway", ORG, f'["valid",{NOW + 5},null]'),
        refused("an unknown caveat survives and denies", "UNKNOWN_CAVEAT", 1, ORG, '["moon_phase","full"]'),
        refused("a known caveat of another shape", "BROKEN_CAVEAT", 1, ORG, '["action"]'),
        refused(
            "if_present with what may not stand inside",
            "BROKEN_CAVEAT",
            1,
            ORG,
            '["if_present",[["org","acme","*"]],"*"]',
        ),
        refused(
            "if_present in if_present", "BROKEN_CAVEAT", 1, ORG, '["if_present",[["if_present",[],"*"]],"*"]'
        ),
        allowed("if_present and nothing named", ORG, '["if_present",[["features",{}]],"w"]'),
        allowed("a label", ORG, '["label","AAAAAAAAAAAAAAAAAAAAAA","ci"]'),
        refused("a label without an id", "BROKEN_CAVEAT", 1, ORG, '["label","","ci"]'),
    ]


def catalogue_cases() -> list[dict[str, Any]]:
    """Return the cases of caveats about other targets, and about the source of a request."""
    machine = WEB | {"machine": "m1"}
    runs = machine | {"actions": "C", "command": ["cat", "a b"]}
    certificate = {"org": "acme", "app": "web", "actions": "c", "mutation": "issue_certificate"}
    ssh = (
        '["any_of",[[["apps",{"web":"c"}],["mutations",["issue_certificate"]]],'
        '[["features",{"wg":"c"}],["mutations",["add_wireguard_peer"]]]]]'
    )
    cluster = {"org": "acme", "feature": "litefs-cloud", "cluster": "c1", "actions": "w"}
    billing = {"org": "acme", "feature": "billing", "actions": "w"}
    known = WEB | {"source": {"org": "acme", "app": "web"}, "attributes": {"method": "GET", "ip": "10.1.2.3"}}

    def at(address: str) -> dict[str, Any]:
        return WEB | {"attributes": {"ip": address}}

    def runs_as(*argv: str) -> dict[str, Any]:
        return runs | {"command": list(argv)}

    return [
        allowed("a machine of the set", ORG, '["machines",{"m1":"w"}]', access=machine),
        refused("another machine", "WRONG_OBJECT", 1, ORG, '["machines",{"m2":"w"}]', access=machine),
        refused("machines and no machine named", "NOT_NAMED", 1, ORG, '["machines",{"m1":"w"}]'),
        allowed("a volume", ORG, '["volumes",{"*":"w"}]', access=WEB | {"volume": "v1"}),
        refused(
            "a volume, other mask", "ACTION", 1, ORG, '["volumes",{"v1":"r"}]', access=WEB | {"volume": "v1"}
        ),
        allowed(
            "a machine feature",
            ORG,
            '["machine_features",{"metadata":"*"}]',
            access=machine | {"machine_feature": "metadata"},
        ),
        refused("no machine feature named", "NOT_NAMED", 1, ORG, '["machine_features",{}]', access=machine),
        allowed("a cluster", ORG, '["clusters",{"c1":"*"}]', access=cluster),
        refused("another cluster", "WRONG_OBJECT", 1, ORG, '["clusters",{"c2":"*"}]', access=cluster),
        allowed("a listed mutation", ORG, '["mutations",["issue_certificate"]]', access=certificate),
        refused("another mutation", "WRONG_OBJECT", 1, ORG, '["mutations",["x"]]', access=certificate),
        refused("no mutation is listed", "WRONG_OBJECT", 1, ORG, '["mutations",[]]', access=certificate),
        refused("mutations and no mutation named", "NOT_NAMED", 1, ORG, '["mutations",["x"]]'),
        refused("a star among mutations", "BROKEN_CAVEAT", 1, ORG, '["mutations",["*"]]', access=certificate),
        allowed("the exact command", ORG, '["commands",[["exact","cat","a b"]]]', access=runs),
        refused(
            "one word more than the exact command",
            "WRONG_OBJECT",
            1,
            ORG,
            '["commands",[["exact","cat","a b"]]]',
            access=runs_as("cat", "a b", "c"),
        ),
        refused(
            "one word less",
            "WRONG_OBJECT",
            1,
            ORG,
            '["commands",[["exact","cat","a b"]]]',
            access=runs_as("cat"),
        ),
        refused(
            "the same words, split elsewhere",
            "WRONG_OBJECT",
            1,
            ORG,
            '["commands",[["exact","cat","a b"]]]',
            access=runs_as("cat", "a", "b"),
        ),
        allowed("a command with the prefix", ORG, '["commands",[["prefix","cat"]]]', access=runs),
        refused(
            "a word that only begins like the prefix",
            "WRONG_OBJECT",
            1,
            ORG,
            '["commands",[["prefix","ca"]]]',
            access=runs,
        ),
        allowed("any command", ORG, '["commands",[["prefix"]]]', access=runs),
        refused("no command is listed", "WRONG_OBJECT", 1, ORG, '["commands",[]]', access=runs),
        refused("commands and no command named", "NOT_NAMED", 1, ORG, '["commands",[["prefix"]]]'),
        refused(
            "an exact command of no word", "BROKEN_CAVEAT", 1, ORG, '["commands",[["exact"]]]', access=runs
        ),
        refused("a mode that is no text", "BROKEN_CAVEAT", 1, ORG, '["commands",[[["x"]]]]', access=runs),
        refused("a role that is no text", "BROKEN_CAVEAT", 1, ORG, '["roles",[{"a":1}]]'),
        refused("a block that is no text", "BROKEN_CAVEAT", 1, ORG, '["ip",[[1]]]', access=at("10.1.2.3")),
        refused("a name that is no text", "BROKEN_CAVEAT", 1, ORG, '["mutations",[["x"]]]'),
        refused("a service that is no text", "BROKEN_CAVEAT", 1, ORG, '["audience",[["x"]]]'),
        refused("a key that is no text", "BROKEN_CAVEAT", 1, ORG, '["attribute",["x"],[]]'),
        refused("a source that is no text", "BROKEN_CAVEAT", 1, ORG, '["source",{"app":["x"]}]'),
        refused("an unknown mode", "BROKEN_CAVEAT", 1, ORG, '["commands",[["suffix","a"]]]', access=runs),
        allowed("the first alternative", ORG, ssh, access=certificate),
        allowed(
            "the second alternative",
            ORG,
            ssh,
            access={"org": "acme", "feature": "wg", "actions": "c", "mutation": "add_wireguard_peer"},
        ),
        refused(
            "half of each alternative",
            "NO_ALTERNATIVE",
            1,
            ORG,
            ssh,
            access=certificate | {"mutation": "add_wireguard_peer"},
        ),
        refused(
            "not named counts as denied in any_of",
            "NO_ALTERNATIVE",
            1,
            ORG,
            ssh,
            access={"org": "acme", "app": "web", "actions": "c"},
        ),
        allowed("an action among alternatives", ORG, '["any_of",[[["action","w"]]]]'),
        refused("no alternative at all", "NO_ALTERNATIVE", 1, ORG, '["any_of",[]]'),
        refused("an alternative without caveats", "BROKEN_CAVEAT", 1, ORG, '["any_of",[[]]]'),
        refused("any_of in any_of", "BROKEN_CAVEAT", 1, ORG, '["any_of",[[["any_of",[]]]]]'),
        refused("any_of in if_present", "BROKEN_CAVEAT", 1, ORG, '["if_present",[["any_of",[]]],"*"]'),
        refused("an action in if_present", "BROKEN_CAVEAT", 1, ORG, '["if_present",[["action","*"]],"*"]'),
        allowed("the source", ORG, '["source",{"app":"web"}]', access=known),
        refused("another source", "WRONG_SOURCE", 1, ORG, '["source",{"app":"api"}]', access=known),
        refused("half of the source", "WRONG_SOURCE", 1, ORG, '["source",{"machine":"m1"}]', access=known),
        refused("no source", "WRONG_SOURCE", 1, ORG, '["source",{"app":"web"}]'),
        refused("a source of nothing", "BROKEN_CAVEAT", 1, ORG, '["source",{}]', access=known),
        allowed("a member writes an app", ORG, '["roles",["member"]]'),
        refused("a member writes billing", "ROLE", 1, ORG, '["roles",["member"]]', access=billing),
        allowed("a member reads billing", ORG, '["roles",["member"]]', access=billing | {"actions": "r"}),
        allowed("a billing manager writes billing", ORG, '["roles",["billing_manager"]]', access=billing),
        refused(
            "a member at an unknown feature",
            "ROLE",
            1,
            ORG,
            '["roles",["member"]]',
            access={"org": "acme", "feature": "news", "actions": "r"},
        ),
        allowed(
            "an admin at an unknown feature",
            ORG,
            '["roles",["admin"]]',
            access={"org": "acme", "feature": "news", "actions": "*"},
        ),
        refused("no role", "ROLE", 1, ORG, '["roles",[]]'),
        refused("an unknown role", "BROKEN_CAVEAT", 1, ORG, '["roles",["member","owner"]]'),
        allowed("the attribute", ORG, '["attribute","method",["GET","HEAD"]]', access=known),
        refused("another value", "ATTRIBUTE", 1, ORG, '["attribute","method",["get"]]', access=known),
        refused("the attribute is missing", "ATTRIBUTE", 1, ORG, '["attribute","method",["GET"]]'),
        refused(
            "an attribute without values", "ATTRIBUTE", 1, ORG, '["attribute","method",[]]', access=known
        ),
        allowed("the audience", ORG, '["audience",["service:gate"]]', asker="service:gate"),
        refused("another audience", "AUDIENCE", 1, ORG, '["audience",["service:gate"]]', asker="service:api"),
        refused("nobody known asks", "AUDIENCE", 1, ORG, '["audience",["service:gate"]]'),
        refused("nobody is an audience", "AUDIENCE", 1, ORG, '["audience",[]]', asker="service:gate"),
        refused(
            "an audience without service:", "BROKEN_CAVEAT", 1, ORG, '["audience",["gate"]]', asker="gate"
        ),
        allowed("an address in the block", ORG, '["ip",["10.0.0.0/8"]]', access=at("10.1.2.3")),
        refused("an address beside the block", "IP", 1, ORG, '["ip",["10.0.0.0/16"]]', access=at("10.1.2.3")),
        allowed(
            "an IPv4 address mapped into IPv6", ORG, '["ip",["10.0.0.0/8"]]', access=at("::ffff:10.1.2.3")
        ),
        allowed("a block mapped into IPv6", ORG, '["ip",["::ffff:10.0.0.0/104"]]', access=at("10.1.2.3")),
        refused("all of IPv6 is no IPv4", "IP", 1, ORG, '["ip",["::/0"]]', access=at("10.1.2.3")),
        allowed("an IPv6 address alone", ORG, '["ip",["2001:db8::1"]]', access=at("2001:db8:0::1")),
        refused("no address", "IP", 1, ORG, '["ip",["0.0.0.0/0"]]'),
        refused("no block", "IP", 1, ORG, '["ip",[]]', access=at("10.1.2.3")),
        refused(
            "bits after the prefix", "BROKEN_CAVEAT", 1, ORG, '["ip",["10.0.0.1/8"]]', access=at("10.1.2.3")
        ),
        refused(
            "a block with a netmask",
            "BROKEN_CAVEAT",
            1,
            ORG,
            '["ip",["10.0.0.0/255.0.0.0"]]',
            access=at("10.1.2.3"),
        ),
    ]


def third_party(
    location: bytes | None, *, id_: bytes = b"an id", vid: bytes = b"v" * 72, signature: bytes | None = None
) -> bytes:
    """Return a token that ends with a third-party caveat; the signature fits unless another is given."""
    link = sign(identifier(), [ORG.encode()])
    place = b"" if location is None else _packet(1, location)
    body = binary([ORG.encode()])[:-35] + place + _packet(2, id_) + _packet(4, vid) + b"\x00\x00"
    return body + _packet(6, signature or _mac(link, _mac(link, vid) + _mac(link, id_)))


def third_party_cases() -> list[dict[str, Any]]:
    """Return the cases of what the signature covers of a third-party caveat: all but its location."""
    signature = third_party(b"elsewhere")[-32:]
    covered = {
        "the id of a third-party caveat changed": third_party(
            b"elsewhere", id_=b"an ie", signature=signature
        ),
        "the vid of a third-party caveat changed": third_party(
            b"elsewhere", vid=b"v" * 71 + b"w", signature=signature
        ),
    }
    free = {
        "a third-party caveat after the org": third_party(b"elsewhere", signature=signature),
        "the location of a third-party caveat changed": third_party(b"attacker", signature=signature),
        "the location of a third-party caveat removed": third_party(None, signature=signature),
    }
    no_text = third_party(b"\xff", signature=signature)
    cases = [case(name, text(data), "clear", "THIRD_PARTY", caveat_index=1) for name, data in free.items()]
    cases += [case(name, text(data), "verify", "BROKEN_CHAIN") for name, data in covered.items()]
    cases.append(case("a third-party location not in UTF-8", text(no_text), "decode", "MALFORMED"))
    return cases


def storage_cases() -> list[dict[str, Any]]:
    """Return the cases of several matching prefixes, and of the paths that are prefixes."""

    def stored(path: str, actions: str = "r") -> dict[str, Any]:
        return {"org": "acme", "storage_object": path, "actions": actions}

    nested = '["storage_objects",{"/a":"*","/a/b":""}]'
    both = '["storage_objects",{"/a":"rw","/a/b":"wc"}]'
    bad = {
        "the empty path": "",
        "the slash alone": "/",
        "a slash at the end": "/a/",
        "an empty segment": "/a//b",
        "two slashes in front": "//a",
        "a dot segment": "/a/./b",
        "a dot-dot segment": "/a/../b",
        "a percent sign": "/a%2fb",
        "a backslash": "a\\\\b",
    }
    cases = [
        refused("a nested prefix without rights", "ACTION", 1, ORG, nested, access=stored("/a/b")),
        refused("below a nested prefix without rights", "ACTION", 1, ORG, nested, access=stored("/a/b/c")),
        allowed("beside a nested prefix without rights", ORG, nested, access=stored("/a/c")),
        allowed("what both prefixes permit", ORG, both, access=stored("/a/b", "w")),
        refused("what only the shorter prefix permits", "ACTION", 1, ORG, both, access=stored("/a/b", "r")),
        refused("what only the longer prefix permits", "ACTION", 1, ORG, both, access=stored("/a/b", "c")),
        refused("one action from each prefix", "ACTION", 1, ORG, both, access=stored("/a/b", "rc")),
        refused(
            "a prefix without the leading slash",
            "WRONG_OBJECT",
            1,
            ORG,
            '["storage_objects",{"a":"*"}]',
            access=stored("/a"),
        ),
        refused(
            "a prefix with a leading slash of its own",
            "WRONG_OBJECT",
            1,
            ORG,
            '["storage_objects",{"/a":"*"}]',
            access=stored("a"),
        ),
        refused(
            "a prefix in another case",
            "WRONG_OBJECT",
            1,
            ORG,
            '["storage_objects",{"/A":"*"}]',
            access=stored("/a"),
        ),
        refused(
            "a star inside a prefix is no wildcard",
            "WRONG_OBJECT",
            1,
            ORG,
            '["storage_objects",{"/a/*":"*"}]',
            access=stored("/a/b"),
        ),
        allowed(
            "any path, with a leading slash", ORG, '["storage_objects",{"*":"r"}]', access=stored("/a/é b")
        ),
        allowed("any path, without one", ORG, '["storage_objects",{"*":"r"}]', access=stored("a")),
        allowed("three dots are a segment", ORG, '["storage_objects",{"/...":"r"}]', access=stored("/.../x")),
        refused(
            "a star beside another prefix",
            "BROKEN_CAVEAT",
            1,
            ORG,
            '["storage_objects",{"*":"r","/a":"r"}]',
            access=stored("/a"),
        ),
    ]
    for name, path in bad.items():
        caveat = f'["storage_objects",{{"{path}":"*"}}]'
        cases.append(refused(f"as a prefix, {name}", "BROKEN_CAVEAT", 1, ORG, caveat, access=stored("/a/b")))
    # An object key is printable ASCII, so such a prefix cannot even be written.
    for name, path in {"a control character": "a\\u0001b", "a letter outside ASCII": "/é"}.items():
        caveat = f'["storage_objects",{{"{path}":"*"}}]'
        cases.append(case(f"as a prefix, {name}", token(ORG, caveat), "decode", "MALFORMED"))
    return cases


def empty_cases() -> list[dict[str, Any]]:
    """Return the cases of `if_present` without an inner caveat: its mask decides every request."""
    stored = {"org": "acme", "storage_object": "/a", "actions": "w"}
    empty = '["if_present",[],"r"]'
    return [
        allowed("an empty if_present, covered", ORG, empty, access={"org": "acme", "actions": "r"}),
        refused("an empty if_present at an app", "ACTION", 1, ORG, empty),
        refused("an empty if_present at storage", "ACTION", 1, ORG, empty, access=stored),
        refused("an empty if_present without rights", "ACTION", 1, ORG, '["if_present",[],""]'),
        allowed("an empty if_present with all rights", ORG, '["if_present",[],"*"]'),
    ]


def render() -> str:
    """Return the whole file."""
    cases = [*text_cases(), *binary_cases(), *canonical_cases(), *chain_cases(), *clear_cases()]
    cases += catalogue_cases()
    cases += [*third_party_cases(), *storage_cases(), *empty_cases()]
    about = (
        "One fault a case. Keys are for tests only. stage: decode, verify, clear or allowed. Leeway is 5 s. "
        "asker: the verified subject of the caller that asks; nobody if absent."
    )
    return json.dumps({"about": about, "leeway": 5, "cases": cases}, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(render())
