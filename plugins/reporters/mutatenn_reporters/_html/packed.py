"""Data as a page carries it: deflated, in base64, in which nothing can be taken for the page's own."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from mutatenn import jsonable

RAW = -zlib.MAX_WBITS
"""Without header and checksum, as ``DecompressionStream("deflate-raw")`` reads it."""


def packed(data: bytes) -> str:
    """Return bytes as text for a page."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, RAW)
    return base64.b64encode(deflate.compress(data) + deflate.flush()).decode("ascii")


def packed_json(value: Any) -> str:
    """Return what JSON can say, numbers that are not finite as null, as text for a page."""
    return packed(json.dumps(jsonable(value), separators=(",", ":"), ensure_ascii=False).encode())


def data_uri(picture: bytes) -> str:
    """Return a WebP picture as an address that a page shows without asking anybody for it."""
    return f"data:image/webp;base64,{base64.b64encode(picture).decode('ascii')}"
