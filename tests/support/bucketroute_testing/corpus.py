"""Keys and payloads that have broken S3 proxies before."""

import random

# Characters that clients, proxies and stores encode, decode or normalise differently; each key must
# come back byte for byte. The pair 100%.txt / 100%25.txt and the literal triplet catch a second
# decoding.
KEYS = (
    "plain/file.bin",
    "by_country/country_iso=ETH/ETH.pmtiles",
    "spaces in/every segment.txt",
    "specials !('):@+,;$&.bin",
    "unicode/café/naïve.txt",
    "unicode/日本語/🪣.bin",
    "report*.pdf",
    "100%.txt",
    "100%25.txt",
    "tilde~hash#pipe|.bin",
    "brackets[1]{2}.bin",
    "literal-%3D-triplet.txt",
    "plus+and space+.txt",
    "question?mark=1&x=%2F.txt",
    'quotes"and<angles>&amp;.xml',
    "folder/",
)

# Valid in S3, refused by MinIO: empty segments.
KEYS_WITH_EMPTY_SEGMENTS = ("a//b", "a///b//c", "dir//", "x//y/")


def payload(size: int, *, seed: int = 0) -> bytes:
    """Bytes that do not repeat, the same for the same size and seed."""
    return random.Random(f"{size}:{seed}").randbytes(size)
