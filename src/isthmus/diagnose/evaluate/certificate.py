"""Until when a certificate is valid, out of its PEM.

Source: RFC 5280, 4.1 (the order of a certificate's parts) and 4.1.2.5 (its times); DER is X.690.
"""

import base64
import binascii
import datetime
import re

_PEM = re.compile(
    r"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.+?)-----END", re.DOTALL
)  # fmt: skip
_SEQUENCE, _VERSION, _UTC_TIME, _TIME = 0x30, 0xA0, 0x17, 0x18


def read_end(pem: str) -> datetime.datetime | None:
    """Return the time after which the first certificate of a file is not valid; None: no such."""
    found = _PEM.search(pem)
    if found is None:
        return None
    try:
        return _read(base64.b64decode("".join(found[1].split())))
    except (ValueError, IndexError, binascii.Error):
        return None


def _part(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of the part at a place, and where its content begins and ends."""
    tag, length = data[at], data[at + 1]
    begin = at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[begin : begin + count], "big")
        begin += count
    if begin + length > len(data):
        raise ValueError("it ends too early")
    return tag, begin, begin + length


def _read(data: bytes) -> datetime.datetime | None:
    _, at, _ = _part(data, 0)
    _, at, _ = _part(data, at)
    tag, _, end = _part(data, at)
    if tag == _VERSION:
        at = end
    for _ in range(3):  # serial number, algorithm, who issued it
        _, _, at = _part(data, at)
    tag, at, _ = _part(data, at)
    if tag != _SEQUENCE:
        return None
    _, _, at = _part(data, at)  # from when
    tag, begin, end = _part(data, at)
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _TIME: "%Y%m%d%H%M%SZ"}.get(tag)
    if form is None:
        return None
    said = data[begin:end].decode("ascii")
    return datetime.datetime.strptime(said, form).replace(tzinfo=datetime.UTC)
