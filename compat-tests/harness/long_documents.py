"""Documents that are slow, large or deep for a careless reader."""

from __future__ import annotations

__all__ = ["long_documents"]


def long_documents(size: int) -> dict[str, bytes]:
    """What is slow or large for a careless reader, about ``size`` bytes each, by a name."""

    def repeated(head: bytes, piece: bytes, tail: bytes) -> bytes:
        return head + piece * ((size - len(head) - len(tail)) // len(piece)) + tail

    value = b'{"Args":[{"Value":'
    return {
        "open brackets": repeated(b"", b"[", b""),
        "open brackets of a value": repeated(value, b"[", b""),
        "open objects": repeated(value, b'{"a":', b""),
        "open callbacks": repeated(b"", b'{"ChordCallback":', b""),
        "brackets side by side": repeated(value + b"[", b"[],", b"0]}]}"),
        "objects side by side": repeated(value + b"[", b"{},", b"0]}]}"),
        "quotes": repeated(b"", b'"', b""),
        "texts": repeated(value + b"[", b'"",', b"0]}]}"),
        "open text": repeated(value + b'"', b"x", b""),
        "escapes": repeated(value + b'"', b"\\n", b'"}]}'),
        "surrogates": repeated(value + b'"', b"\\ud800", b'"}]}'),
        "escaped texts": repeated(value + b"[", b'"\\n",', b"0]}]}"),
        "no UTF-8": repeated(value + b'"', b"\xff", b'"}]}'),
        "characters to escape": repeated(value + b'"', b"<", b'"}]}'),
        "digits": repeated(value, b"9", b"}]}"),
        "open digits": repeated(value, b"9", b""),
        "digits of an int": repeated(b'{"RetryCount":', b"9", b"}"),
        "digits of a fraction": repeated(value + b"0.", b"9", b"}]}"),
        "digits of an exponent": repeated(value + b"1e", b"9", b"}]}"),
        "digits of a second": repeated(b'{"ETA":"2024-01-01T00:00:00.', b"9", b'Z"}'),
        "whole numbers": repeated(value + b"[", b"0,", b"0]}]}"),
        "fractions": repeated(value + b"[", b"1.5,", b"0]}]}"),
        "literals": repeated(value + b"[", b"1e-7,", b"0]}]}"),
        "literals that stay": repeated(value + b"[", b"1.50,", b"0]}]}"),
        "spaces": repeated(b"", b" ", b"{}"),
        "spaces within": repeated(value + b"[0", b" ", b"x]}]}"),
        "equal keys": repeated(value + b"{", b'"":0,', b'"":0}}]}'),
        "unknown keys": repeated(b"{", b'"x":0,', b'"Name":"x"}'),
        "keys that fold": repeated(b"{", '"\u212a":0,'.encode(), b'"Name":"x"}'),
        "args": repeated(b'{"Args":[', b"{},", b"{}]}"),
        "args again": repeated(b"{", b'"Args":[{}],', b'"Name":"x"}'),
        "args cut and grown": repeated(b"{", b'"Args":[{},{}],"Args":[{}],', b'"Name":"x"}'),
        "headers again": b'{"Headers":{%s},%s"Name":"x"}'
        % (b",".join(b'"%d":0' % n for n in range(size // 24)), b'"Headers":{},' * (size // 26)),
        "callbacks": repeated(b'{"OnSuccess":[', b"{},", b"{}]}"),
        "callbacks again": repeated(b"{", b'"ChordCallback":{},', b'"Name":"x"}'),
        "null callbacks": repeated(b'{"OnError":[', b"null,", b"null]}"),
    }
