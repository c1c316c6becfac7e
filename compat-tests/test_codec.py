"""Documents, values and texts go through live Go, v1 and v2, and through us, with the same bytes or the same refusal.

``python -m benchmarks.fuzz`` runs many more documents.
"""

from __future__ import annotations

import base64
import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
from harness.agreement import DECODE, DECODE_EXACTLY, ENCODE, differences, ours, same
from harness.codec import DECODING_FAILED, ENCODING_FAILED, VERSIONS, WRITTEN, Answer, Codec
from harness.codec_cases import golden_files
from harness.documents import KINDS, Documents
from harness.long_documents import long_documents
from harness.models import Models
from seeds import FRESH_SEED

from gomachinery_py.golang.fmt import format_value
from gomachinery_py.golang.json import float32_text, float64_text, parse, quote, write_value
from gomachinery_py.golang.strconv import NumError, parse_float, parse_int, parse_uint
from gomachinery_py.golang.time import format_duration
from gomachinery_py.wire import WireError, decode_signature

FIXED_SEED = 20_240_601
DOCUMENTS = 11_000
DEEP_DOCUMENTS = 16
BOTH_PATHS = 3_000
MODELS = 3_000
NUMBERS = 40_000
SECONDS_FOR_ONE = 5
"""Far above the second that one document may take on a machine with nothing else to do (``benchmarks.fuzz``)."""

QUICK = ("open", "quotes", "digits", "escapes", "surrogates", "no UTF-8", "spaces")
"""Long documents that are no work at all, and so can be a megabyte here."""

by_seed = pytest.mark.parametrize("seed", [FIXED_SEED, FRESH_SEED], ids=["fixed", "fresh"])


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    """Live Go."""
    with Codec() as codec:
        yield codec


@by_seed
def test_random_documents(codec: Codec, seed: int) -> None:
    """Whatever a document is like, Go and we write the same bytes for it or both refuse it; so do our two paths."""
    source = Documents(seed)
    documents = [(kind, source.document(kind)) for _, kind in zip(range(DOCUMENTS), _kinds(), strict=False)]
    documents += [(kind, source.deep_document(kind)) for _, kind in zip(range(DEEP_DOCUMENTS), _kinds(), strict=False)]
    verdicts = [ours(kind, document) for kind, document in documents]
    seen = Counter(verdict.status for verdict in verdicts)
    print(f"seed {seed}: {len(documents)} documents, {dict(seen)}")
    assert differences(codec, documents, verdicts)[:3] == [], f"seed {seed}"
    assert _paths_differ(documents[:BOTH_PATHS])[:3] == [], f"seed {seed}"
    # Enough of each: documents that are taken, refused, and taken but impossible to write.
    assert min(seen[WRITTEN], seen[DECODING_FAILED]) > len(documents) // 5, f"seed {seed}"
    assert seen[ENCODING_FAILED] > 0, f"seed {seed}"


def _kinds() -> Iterator[str]:
    """Signatures twice as often as the others."""
    while True:
        yield from ("s", *KINDS)


def _paths_differ(documents: Sequence[tuple[str, bytes]]) -> list[bytes]:
    found = []
    for kind, document in documents:
        try:
            decoded = DECODE[kind](document)
        except WireError:
            continue
        if not same(decoded, DECODE_EXACTLY[kind](document)):
            found.append(document)
    return found


@pytest.mark.parametrize("size", [1 << 20, 1 << 17])
def test_long_documents(codec: Codec, size: int) -> None:
    """What would be slow or too deep for a careless reader is taken or refused as by Go, and soon."""
    for name, document in long_documents(size).items():
        if size > 1 << 17 and not name.startswith(QUICK):
            continue
        begun = time.monotonic()
        verdict = ours("s", document)
        taken = time.monotonic() - begun
        assert differences(codec, [("s", document)], [verdict]) == [], name
        assert taken < SECONDS_FOR_ONE, name


@by_seed
def test_what_python_writes_go_writes_too(codec: Codec, seed: int) -> None:
    """Any object that can be built in Python is written so that Go, having read it, writes the same bytes again."""
    source = Models(seed)
    documents = [(kind, ENCODE[kind](source.model(kind))) for _, kind in zip(range(MODELS), _kinds(), strict=False)]
    print(f"seed {seed}: {len(documents)} objects")
    for version in VERSIONS:
        answers = codec.ask_all([(kind, version, document) for kind, document in documents])
        expected = [Answer(WRITTEN, document) for _, document in documents]
        assert [pair for pair in zip(expected, answers, strict=True) if pair[0] != pair[1]][:2] == [], f"seed {seed}"
    assert _paths_differ(documents)[:3] == [], f"seed {seed}"


def test_golden_files_are_gos(codec: Codec) -> None:
    """``fixtures/golden`` holds what live Go says today (``scripts/regenerate-codec``)."""
    for path, text in golden_files(codec).items():
        assert text == path.read_text(encoding="utf-8"), path.name


def _bits(random_: random.Random, exponent: int, mantissa: int, count: int) -> list[int]:
    """Floats by their bits: random ones, and for every exponent those at its edges."""
    made = [random_.getrandbits(1 + exponent + mantissa) for _ in range(count)]
    for power in range(1 << exponent):
        for edge in (0, 1, 2, (1 << mantissa) - 1):
            made += (power << mantissa | edge, (1 << exponent | power) << mantissa | edge)
    return made


def _near(numbers: Sequence[float], form: str, width: str) -> list[int]:
    """The bits of numbers and of their neighbours."""
    return [struct.unpack(width, struct.pack(form, number))[0] + step for number in numbers for step in range(-3, 4)]


EDGES = [1e-6, 1e-7, 1e20, 1e21, 1e16, 1e15, 1e-4, 2**24, 2.0**-12, 0.1, 3e38]


@by_seed
def test_floats(codec: Codec, seed: int) -> None:
    """Every float64 and float32 has Go's shortest text, and what is no number has Go's error."""
    random_ = random.Random(seed)
    doubles = _bits(random_, 11, 52, NUMBERS) + _near(EDGES, ">d", ">Q")
    doubles += [
        struct.unpack(">Q", struct.pack(">d", random_.randrange(10**15) / 10**5))[0] for _ in range(NUMBERS // 4)
    ]
    singles = _bits(random_, 8, 23, NUMBERS) + _near(EDGES, ">f", ">I")
    for kind, width, form, bits, write in (
        ("d", ">Q", ">d", doubles, float64_text),
        ("f", ">I", ">f", singles, float32_text),
    ):
        payloads = [struct.pack(width, number) for number in bits]
        mine = [_written(write, struct.unpack(form, payload)[0]) for payload in payloads]
        assert _unlike(payloads, mine, codec.ask(kind, payloads)) == [], f"seed {seed}"


def _written(write: Callable[[float], str], number: float) -> Answer:
    try:
        return Answer(WRITTEN, write(number).encode())
    except ValueError as error:
        return Answer(ENCODING_FAILED, str(error).encode())


def _unlike(
    questions: Sequence[bytes], mine: Sequence[Answer], go: Sequence[Answer]
) -> list[tuple[bytes, Answer, Answer]]:
    return [row for row in zip(questions, mine, go, strict=True) if row[1] != row[2]][:3]


@by_seed
def test_bytes_texts_and_durations(codec: Codec, seed: int) -> None:
    """``[]byte``, strings of any bytes, and durations are written as Go writes them."""
    random_ = random.Random(seed)
    bodies = [random_.randbytes(random_.randrange(12)) for _ in range(3_000)]
    mine = [Answer(WRITTEN, write_value(body).encode()) for body in bodies]
    assert [Answer(WRITTEN, b'"' + base64.b64encode(body) + b'"') for body in bodies] == mine
    assert _unlike(bodies, mine, codec.ask("b", bodies)) == []
    bodies += [bytes([byte]) for byte in range(256)] + [chr(code).encode() for code in range(0x100, 0x3000)]
    mine = [Answer(WRITTEN, quote(body.decode("utf-8", "surrogateescape")).encode()) for body in bodies]
    assert _unlike(bodies, mine, codec.ask("x", bodies)) == []
    lengths = [random_.randrange(-(10**power), 10**power) for power in range(1, 19) for _ in range(150)]
    lengths += [
        -(1 << 63),
        (1 << 63) - 1,
        0,
        1,
        999,
        1_000,
        999_999,
        1_000_000,
        999_999_999,
        10**9,
        60 * 10**9,
        3600 * 10**9,
    ]
    payloads = [struct.pack(">q", length) for length in lengths]
    mine = [Answer(WRITTEN, format_duration(length).encode()) for length in lengths]
    assert _unlike(payloads, mine, codec.ask("n", payloads)) == []


@by_seed
def test_values_print_as_in_go(codec: Codec, seed: int) -> None:
    """Decoded values print like Go's ``%v``."""
    source = Documents(seed)
    documents = [document for document in (source.document("s") for _ in range(1_500)) if _is_json(document)]
    mine = [Answer(WRITTEN, format_value(parse(document)).encode("utf-8", "surrogatepass")) for document in documents]
    assert len(documents) > 500
    assert _unlike(documents, mine, codec.ask("v", documents)) == []


def _is_json(document: bytes) -> bool:
    try:
        parse(document)
    except ValueError:
        return False
    return True


@by_seed
def test_numbers_are_parsed_as_in_go(codec: Codec, seed: int) -> None:
    """Literals become Go's numbers or have Go's errors."""
    random_ = random.Random(seed)
    literals = ["0", "-0", "1.0", "1e3", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1e400"]
    literals += ["-9223372036854775809", "18446744073709551615", "18446744073709551616", "-1", "1" * 5_000, "1e-400"]
    literals += [str(random_.randrange(-(1 << 70), 1 << 70) >> random_.randrange(70)) for _ in range(2_000)]
    literals += [repr(random_.uniform(-1, 1) * 10.0 ** random_.randrange(-320, 309)) for _ in range(2_000)]
    payloads = [literal.encode() for literal in literals]
    for kind, convert in (("i", _digits(parse_int)), ("u", _digits(parse_uint)), ("F", _hexadecimal)):
        mine = [_parsed(convert, literal) for literal in literals]
        assert _unlike(payloads, mine, codec.ask(kind, payloads)) == [], f"seed {seed}"


def _digits(convert: Callable[[str], int]) -> Callable[[str], str]:
    return lambda literal: str(convert(literal))


def _hexadecimal(literal: str) -> str:
    return f"{struct.unpack('>Q', struct.pack('>d', parse_float(literal)))[0]:x}"


def _parsed(convert: Callable[[str], str], literal: str) -> Answer:
    try:
        return Answer(WRITTEN, convert(literal).encode())
    except NumError as error:
        return Answer(DECODING_FAILED, str(error).encode())


@pytest.mark.parametrize(
    "document",
    [
        b'{"UUID":1}',
        b'{"Name":{"a":[1]}}',
        b'{"Priority":256}',
        b'{"Priority":-0}',
        b'{"RetryCount": 1.5}',
        b'{"RetryCount":true}',
        b'{"Immutable":0}',
        b'{"Args":{"Value":1}}',
        b'{"Args":[5]}',
        b'{"Args":[{"Type":5}]}',
        b'{"Headers":[]}',
        b'{"OnSuccess":"x"}',
        b'{"OnSuccess":[{"OnError":[{"UUID":false}]}]}',
        b'{"ChordCallback":[]}',
        b'[{"Name":"x"}]',
        b'"x"',
        b"1.50",
    ],
)
def test_wrong_kinds_are_told_as_by_go(codec: Codec, document: bytes) -> None:
    """A value of the wrong kind is refused with Go's text."""
    (go,) = codec.ask("s", [document])
    with pytest.raises(WireError) as caught:
        decode_signature(document)
    assert go.text == caught.value.reason
