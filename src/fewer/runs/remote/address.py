"""The address of a place in object storage, `s3://bucket/prefix`; it never holds credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9!_.*'()\-=+@ ]+")
_ALLOWED = "allowed: s3://BUCKET/PREFIX, as in s3://my-bucket/runs/photos"


@dataclass(frozen=True)
class Address:
    """A bucket and a prefix in it.

    Attributes:
        bucket: The bucket's name.
        prefix: What all keys begin with, without a slash at either end.
    """

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}"

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return self.prefix.rpartition("/")[2]


def is_address(text: str) -> bool:
    """Whether a text is meant as a place in object storage."""
    return text.startswith(SCHEME)


def parse_address(text: str) -> Address:
    """The address that a text names.

    Raises:
        ValueError: It is none; the message says what is allowed, and repeats nothing that may be a secret.
    """
    if not is_address(text):
        raise ValueError(f"no address of object storage; {_ALLOWED}")
    bucket, _, rest = text.removeprefix(SCHEME).partition("/")
    if "@" in bucket or ":" in bucket:
        raise ValueError(
            f"an address holds no credentials and no port; {_ALLOWED}; credentials come from AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY or ~/.aws/credentials, a server's URL from AWS_ENDPOINT_URL"
        )
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f'"{bucket}" is no name of a bucket (3 to 63 of a-z, 0-9, "-" and "."); {_ALLOWED}')
    prefix = rest.strip("/")
    if not prefix:
        raise ValueError(f"names a whole bucket; name a prefix in it; {_ALLOWED}")
    wrong = [part for part in prefix.split("/") if not _SEGMENT.fullmatch(part) or part in (".", "..")]
    if wrong:
        raise ValueError(f'"{wrong[0]}" cannot be part of a prefix (letters, digits, "-", "_", "."); {_ALLOWED}')
    return Address(bucket, prefix)
