"""Signed calls by themselves: what is covered, what is refused, and an independent peer."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)
from hypothesis import example, given
from hypothesis import strategies as st

from bcca_node.network import fields, signatures, targets
from bcca_node.network.fields import MAX_FIELD_CHARS, MAX_ITEMS, MAX_MEMBERS, MAX_PARAMETERS
from bcca_node.network.signatures import Call, SignedCall
from bcca_protocol.errors import BccaError, LimitError, MalformedError, RefusedError, SignatureError
from bcca_protocol.keys import Algorithm, SeedSigner

SEED = bytes(range(32))
SIGNER = SeedSigner(name="pack.example", algorithm=Algorithm.ED25519, seed=SEED)
AUDIENCE = "cathode.example/bcca"
URL = "https://cathode.example/bcca/statements?product=urn:bcca:case:t:P1"
NOW = 1_790_000_000
GET = Call(method="GET", target=URL)
POST = Call(method="POST", target=URL, body=b'{"a":1}')

Lines = dict[str, Sequence[str]]


def signed(call: Call, *, created: int = NOW, nonce: str = "n-1") -> dict[str, str]:
    return signatures.sign(call, signer=SIGNER, audience=AUDIENCE, created=created, nonce=nonce)


def verify(call: Call, headers: dict[str, str], *, at: int = NOW) -> SignedCall:
    lines: Lines = {name: [value] for name, value in headers.items()}
    return signatures.verify(call, lines, audience=AUDIENCE, at=at)


def with_input(old: str, new: str, call: Call = GET) -> dict[str, str]:
    """Sign a call, and say something else of it in a signature that fits again."""
    headers = signed(call)
    text = headers["signature-input"].removeprefix("bcca=")
    assert old in text
    return signed_as(text.replace(old, new), headers, call)


def signed_as(text: str, headers: dict[str, str], call: Call) -> dict[str, str]:
    """Sign, honestly, what `text` says is covered."""
    (member,) = fields.decode_dictionary(f"x={text}", "x").values()
    assert isinstance(member.value, tuple)
    names = [each.value for each in member.value if isinstance(each.value, str)]
    derived = {"@method": call.method, "@target-uri": call.target, "date": "now"}
    base = signatures.base({**derived, **headers}, names, text)
    signature = fields.encode_bytes(SIGNER.sign(base))
    return {**headers, "signature-input": f"bcca={text}", "signature": f"bcca={signature}"}


@pytest.mark.parametrize("call", [GET, POST], ids=["without a body", "with a body"])
def test_a_signed_call_says_by_whom_when_and_with_which_nonce(call: Call) -> None:
    assert verify(call, signed(call)) == SignedCall(key=SIGNER.key, created=NOW, nonce="n-1")


def test_the_headers_of_a_call_are_these() -> None:
    headers = signed(POST)

    assert list(headers) == ["bcca-audience", "content-digest", "signature-input", "signature"]
    assert headers["bcca-audience"] == AUDIENCE
    assert headers["signature-input"] == (
        'bcca=("@method" "@target-uri" "bcca-audience" "content-digest")'
        f';created={NOW};nonce="n-1";keyid="{SIGNER.key.encode()}";tag="bcca-v1"'
    )


@given(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=70),
    st.integers(0, 10**16),
)
def test_what_is_read_in_one_go_is_read_as_by_any_reader(nonce: str, created: int) -> None:
    headers = signed(GET, created=created, nonce=nonce)
    lines: Lines = {name: [value] for name, value in headers.items()}
    # A second member makes the fields ones that are read step by step.
    others = {name: [f"{headers[name]}, x=:YQ==:"] for name in ("signature-input", "signature")}

    def found(lines: Lines) -> SignedCall | type[BccaError]:
        try:
            return signatures.verify(GET, lines, audience=AUDIENCE, at=created)
        except BccaError as error:
            return type(error)

    assert found(lines) == found({**lines, **others})


def test_a_call_without_a_body_has_no_digest() -> None:
    assert "content-digest" not in signed(GET)


@pytest.mark.parametrize(
    "changed",
    [
        dataclasses.replace(POST, method="PUT"),
        dataclasses.replace(POST, target=URL.replace("P1", "P2")),
        dataclasses.replace(POST, target=URL.partition("?")[0]),
        dataclasses.replace(POST, target=URL.replace("https", "http")),
        dataclasses.replace(POST, body=b'{"a":2}'),
        dataclasses.replace(POST, body=b""),
    ],
    ids=["method", "query", "no query", "scheme", "body", "no body"],
)
def test_a_call_changed_on_its_way_is_refused(changed: Call) -> None:
    with pytest.raises(SignatureError):
        verify(changed, signed(POST))


def test_a_body_put_under_a_call_without_one_is_refused() -> None:
    with pytest.raises(SignatureError, match="covers"):
        verify(dataclasses.replace(GET, body=b"x"), signed(GET))


def test_a_body_with_a_digest_that_is_not_covered_is_refused() -> None:
    digest = signed(POST)["content-digest"]
    headers = {**signed(GET), "content-digest": digest}

    with pytest.raises(SignatureError, match="covers"):
        verify(dataclasses.replace(GET, body=POST.body), headers)


def test_the_digest_of_an_empty_body_may_be_covered() -> None:
    digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
    headers = {**signed(GET), "content-digest": digest}
    text = headers["signature-input"].removeprefix("bcca=").replace(")", ' "content-digest")')

    assert verify(GET, signed_as(text, headers, GET)).key == SIGNER.key


def test_another_digest_beside_ours_is_no_harm() -> None:
    headers = signed(POST)
    headers["content-digest"] = "sha-512=:AAAA:, " + headers["content-digest"]

    assert verify(POST, signed_as(headers["signature-input"][5:], headers, POST)).nonce == "n-1"


@pytest.mark.parametrize("digest", ["sha-512=:AAAA:", "sha-256=:AAAA:", "sha-256=1", "sha-256", ""])
def test_a_body_under_no_fitting_digest_is_refused(digest: str) -> None:
    headers = {**signed(POST), "content-digest": digest}

    with pytest.raises(SignatureError, match="sha-256"):
        verify(POST, signed_as(headers["signature-input"][5:], headers, POST))


def test_a_call_for_somebody_else_is_refused() -> None:
    headers = signatures.sign(
        GET, signer=SIGNER, audience="anode.example", created=NOW, nonce="n-1"
    )

    with pytest.raises(SignatureError, match=r"'anode\.example', where this is cathode"):
        verify(GET, headers)


def test_a_second_audience_beside_ours_is_refused() -> None:
    lines: Lines = {name: [value] for name, value in signed(GET).items()}
    lines["bcca-audience"] = [AUDIENCE, "anode.example"]

    with pytest.raises(SignatureError, match="for "):
        signatures.verify(GET, lines, audience=AUDIENCE, at=NOW)


@pytest.mark.parametrize("apart", [-61, 61, -3600, 3600])
def test_a_clock_that_is_off_is_told_what_time_it_is(apart: int) -> None:
    with pytest.raises(SignatureError, match=f"created at {NOW}, and it is {NOW + apart} here"):
        verify(GET, signed(GET), at=NOW + apart)


@pytest.mark.parametrize("apart", [-60, -1, 0, 60])
def test_a_minute_between_two_clocks_is_no_matter(apart: int) -> None:
    assert verify(GET, signed(GET), at=NOW + apart).created == NOW


@pytest.mark.parametrize("name", ['"@method" ', '"@target-uri" ', ' "bcca-audience"'])
def test_a_signature_that_leaves_out_a_component_is_refused(name: str) -> None:
    with pytest.raises(SignatureError, match="covers"):
        verify(GET, with_input(name, ""))


@pytest.mark.parametrize(
    "more", ['"@method" "@method"', '"date" "@method"', '"bcca-audience" "@method"']
)
def test_a_signature_that_covers_more_or_anything_twice_is_refused(more: str) -> None:
    with pytest.raises(SignatureError, match="covers"):
        verify(GET, with_input('"@method"', more))


@pytest.mark.parametrize("item", ['"@method";req', "method", "1", ":AAAA:"])
def test_a_component_that_is_more_than_a_name_is_refused(item: str) -> None:
    headers = signed(GET)
    headers["signature-input"] = headers["signature-input"].replace('"@method"', item)

    with pytest.raises(MalformedError, match="component"):
        verify(GET, headers)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f";created={NOW}", ""),
        (';nonce="n-1"', ""),
        (f";created={NOW}", f';created="{NOW}"'),
        (f";created={NOW}", ";created=-1"),
        (f";created={NOW}", f";created={NOW}.0"),
        (';nonce="n-1"', ";nonce=n"),
        (';nonce="n-1"', ';nonce=""'),
        (';nonce="n-1"', ';nonce="n-1";expires=1'),
        (';nonce="n-1"', ';nonce="n-1";alg="rsa-v1_5-sha256"'),
        (';nonce="n-1"', ';nonce="n-1";whatever'),
        (f'"{SIGNER.key.encode()}"', f'"{SIGNER.key.label}"'),
        (f'"{SIGNER.key.encode()}"', "1"),
    ],
)
def test_a_signature_that_says_too_little_or_something_else_is_refused(old: str, new: str) -> None:
    with pytest.raises(MalformedError):
        verify(GET, with_input(old, new))


def test_a_long_nonce_is_refused() -> None:
    with pytest.raises(LimitError, match="65 characters, over 64"):
        verify(GET, signed(GET, nonce="n" * 65))


def test_parameters_and_components_may_stand_in_another_order() -> None:
    key = SIGNER.key.encode()
    text = (
        f'("bcca-audience" "@target-uri" "@method");tag="bcca-v1";keyid="{key}";alg="ed25519"'
        f';nonce="n-1";created={NOW}'
    )

    assert verify(GET, signed_as(text, signed(GET), GET)).created == NOW


def test_spaces_that_stood_there_when_it_was_signed_are_no_matter() -> None:
    assert verify(GET, with_input('"@method" ', ' "@method"  ')).nonce == "n-1"


def test_the_signature_of_another_key_is_refused() -> None:
    other = SeedSigner(name=SIGNER.name, algorithm=Algorithm.ED25519, seed=bytes(32))
    headers = with_input(SIGNER.key.encode(), other.key.encode())

    with pytest.raises(SignatureError, match="not signed by"):
        verify(GET, headers)


def test_a_witness_key_signs_no_calls() -> None:
    witness = SeedSigner(name="w", algorithm=Algorithm.ED25519_COSIGNATURE, seed=SEED)
    headers = signatures.sign(GET, signer=witness, audience=AUDIENCE, created=NOW, nonce="n")

    with pytest.raises(SignatureError, match="another kind"):
        verify(GET, headers)


def test_two_signatures_with_our_tag_are_refused() -> None:
    headers = signed(GET)
    for name in ("signature-input", "signature"):
        headers[name] += ", again" + headers[name].removeprefix("bcca")

    with pytest.raises(SignatureError, match="2 with the tag"):
        verify(GET, headers)


def test_the_signature_of_a_proxy_beside_ours_is_passed_over() -> None:
    headers = signed(GET)
    headers["signature-input"] = (
        'proxy=("@path" "@query-param";name="x" "x";key="a");created=1;expires=2.5;tag="p", '
        + headers["signature-input"]
    )
    headers["signature"] = "proxy=:AAAA:, " + headers["signature"]

    assert verify(GET, headers).nonce == "n-1"


def test_a_signature_of_somebody_elses_kind_alone_is_refused() -> None:
    with pytest.raises(SignatureError, match="0 with the tag"):
        verify(GET, with_input('tag="bcca-v1"', 'tag="other"'))


@pytest.mark.parametrize("name", ["signature-input", "signature"])
def test_half_a_signature_is_refused(name: str) -> None:
    headers = signed(GET)
    del headers[name]

    with pytest.raises(RefusedError):
        verify(GET, headers)


@pytest.mark.parametrize("text", ["bcca=1", "bcca", 'bcca="x"', "bcca=:AAAA:;x=1", "bcca=()"])
def test_a_signature_that_is_no_bytes_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="no bytes"):
        verify(GET, {**signed(GET), "signature": text})


@pytest.mark.parametrize("line", ["a b", "ü", "a\nb", 'a"b'])
def test_a_nonce_is_written_so_that_it_is_read_again_or_not_at_all(line: str) -> None:
    try:
        headers = signed(GET, nonce=line)
    except MalformedError:
        assert not line.isascii() or "\n" in line
    else:
        assert verify(GET, headers).nonce == line


def test_a_base_of_more_lines_than_components_is_refused() -> None:
    with pytest.raises(MalformedError, match="one line"):
        signatures.base({"a": "x\ny"}, ["a"], "()")


# Structured fields.


@pytest.mark.parametrize(
    "text",
    [
        "a=1,",
        ",a=1",
        "a=1 b=2",
        "a=(",
        'a=("x""y")',
        'a=("x"',
        "A=1",
        "a=",
        "a=1;",
        'a="x',
        'a="\\n"',
        "a=:A:",
        "a=:AAB=:",
        "a=1, a=2",
        "a=1;x=1;x=2",
        "a=1234567890123456",
        "a=(1\t2)",
        'a="\u00fc"',
        "a=1;X",
        "a=?2",
    ],
)
def test_what_is_no_dictionary_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        fields.decode_dictionary(text, "x")


@pytest.mark.parametrize(
    "text",
    [
        "a=" + "1" * MAX_FIELD_CHARS,
        ", ".join(f"a{index}" for index in range(MAX_MEMBERS + 1)),
        "a=1" + "".join(f";b{index}" for index in range(MAX_PARAMETERS + 1)),
        f"a=({' '.join('1' * (MAX_ITEMS + 1))})",
    ],
    ids=["characters", "members", "parameters", "items"],
)
def test_a_dictionary_over_its_limits_is_refused(text: str) -> None:
    with pytest.raises(LimitError):
        fields.decode_dictionary(text, "x")


def test_a_dictionary_keeps_the_text_of_its_members() -> None:
    text = ' a=("x";y  1);b=tok/en, c , d=@1;e=-1.5,  f=%"%c3%bc" '

    members = fields.decode_dictionary(text, "x")

    assert [each.text for each in members.values()] == [
        '("x";y  1);b=tok/en',
        "",
        "@1;e=-1.5",
        '%"%c3%bc"',
    ]


@given(st.text(), st.text())
@example('bcca=();tag="bcca-v1"', "bcca=:AAAA:")
def test_garbage_in_the_headers_is_refused_and_nothing_else(told: str, signature: str) -> None:
    with pytest.raises(RefusedError):
        verify(GET, {**signed(GET), "signature-input": told, "signature": signature})


@given(st.data())
def test_a_signature_with_any_byte_changed_is_refused_or_says_the_same(data: st.DataObject) -> None:
    headers = signed(POST)
    name = data.draw(st.sampled_from(sorted(headers)))
    at = data.draw(st.integers(0, len(headers[name]) - 1))
    put = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    headers[name] = headers[name][:at] + put + headers[name][at + 1 :]

    try:
        found = verify(POST, headers)
    except BccaError:
        return
    assert found == SignedCall(key=SIGNER.key, created=NOW, nonce="n-1")


# An independent peer: http-message-signatures.


class Keys(HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(SEED)

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        assert key_id == SIGNER.key.encode()
        return Ed25519PublicKey.from_public_bytes(SIGNER.key.public)


@dataclasses.dataclass
class Message:
    method: str
    url: str
    headers: dict[str, str]


@pytest.mark.parametrize("call", [GET, POST], ids=["without a body", "with a body"])
def test_what_a_peer_signs_is_believed(call: Call) -> None:
    now = datetime.now(UTC)
    message = Message(call.method, call.target, {"bcca-audience": AUDIENCE})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=Keys())

    signer.sign(
        message,
        key_id=SIGNER.key.encode(),
        created=now,
        nonce="peer",
        tag="bcca-v1",
        covered_component_ids=("@method", "@target-uri", "bcca-audience"),
        body=call.body or None,
    )
    headers = {name.lower(): value for name, value in message.headers.items()}

    assert verify(call, headers, at=int(now.timestamp())).nonce == "peer"


@pytest.mark.parametrize("call", [GET, POST], ids=["without a body", "with a body"])
def test_a_peer_believes_what_is_signed(call: Call) -> None:
    now = int(datetime.now(UTC).timestamp())
    message = Message(call.method, call.target, signed(call, created=now))
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=Keys())

    (found,) = verifier.verify(
        message, max_age=timedelta(seconds=60), expect_tag="bcca-v1", body=call.body or None
    )

    assert found.parameters["nonce"] == "n-1"


# The URI that is signed is the one that is sent.


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("http://H.example:80", "http://h.example/"),
        ("https://h.example:443/a?", "https://h.example/a"),
        ("http://h.example:81/a#b", "http://h.example:81/a"),
        ("http://[::1]:8000/bcca", "http://[::1]:8000/bcca"),
        ("http://h/?product=urn%3Abcca%3Acase", "http://h/?product=urn:bcca:case"),
        ("http://h/%7Ea/%2F/+/%2B?a=%20b+%2B%26", "http://h/~a/%2F/+/%2B?a=%20b+%2B%26"),
        ("http://h/ü?ö", "http://h/%C3%BC?%C3%B6"),
    ],
)
def test_a_url_is_written_as_the_transport_sends_it(written: str, sent: str) -> None:
    assert targets.sent(written) == sent
    assert targets.sent(sent) == sent


def test_a_request_is_taken_for_the_url_that_its_node_has_outside() -> None:
    assert targets.received("https://h/bcca", b"/a%2Fb", b"c=d") == "https://h/bcca/a%2Fb?c=d"
    assert targets.received("https://h/", b"/", b"") == "https://h/"
