"""A bucket: whole objects put, got, listed and deleted, with errors in words that hold no secret.

The storage library's own messages quote what a server answered, which may hold an access key; none is passed on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, TypeVar, final
from urllib.parse import urlsplit

from fewer.core.errors import RecipeError, RemoteError
from fewer.runs.remote.address import Address
from fewer.runs.remote.credentials import access

_Result = TypeVar("_Result")
_CONNECT_SECONDS, _REQUEST_SECONDS = 5, 120

_KEYS_WRONG = "the server refuses these credentials"
_REFUSALS = {
    "InvalidAccessKeyId": f"{_KEYS_WRONG}: it does not know the access key; correct AWS_ACCESS_KEY_ID, or the profile",
    "SignatureDoesNotMatch": f"{_KEYS_WRONG}: the secret key is another; correct AWS_SECRET_ACCESS_KEY, or the profile",
    "ExpiredToken": f"{_KEYS_WRONG}: they have expired; renew them",
    "InvalidToken": f"{_KEYS_WRONG}: the session token is not valid; renew them",
    "NoSuchBucket": "there is no such bucket; create it, or correct the address",
    "AuthorizationHeaderMalformed": "the bucket lies in another region; set AWS_REGION",
    "PermanentRedirect": "the bucket lies in another region; set AWS_REGION",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "NotImplemented": "this server knows no conditional writes, which copies need; use another",
}
_DENIED = "access is denied; allow these credentials to get, put, list and delete objects below this prefix"
_NO_KEYS = (
    "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials"
)


class Outage(RemoteError):
    """No answer, or one that says: later."""


class Refused(RemoteError):
    """The server refuses, and will until somebody acts: credentials, bucket, rights."""


class Absent(RemoteError):
    """There is no object of this key."""


class Conflict(RemoteError):
    """A conditional write came too late: somebody else's stands there."""


def require(key: str) -> None:
    """Asks for the package that reaches object storage.

    Args:
        key: The recipe's key, with its value, that needs it.

    Raises:
        RecipeError: It is not installed.
    """
    if find_spec("obstore") is None:
        raise RecipeError(f"{key}: the package obstore is missing; pip install obstore")


@dataclass(frozen=True)
class Stat:
    """Bytes and entity tag of an object, which changes with its content."""

    size_bytes: int
    tag: str


@final
class Bucket:
    """The objects below an address.

    Args:
        address: The bucket and the prefix.

    Attributes:
        host: The server, for messages.

    Raises:
        RemoteError: The environment names a profile or a server that there is none of.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.host = ""
        self._store: Any = None
        self.renew()

    def renew(self) -> None:
        """Looks for credentials and server again: they may have been renewed since."""
        from obstore.store import S3Store

        try:
            options = access()
        except RemoteError as error:
            raise Refused(f"{self.address}: {error}") from None
        url = options.get("endpoint", "")
        self.host = urlsplit(url).netloc if url else f"the storage in {options['region']}"
        self._store = S3Store(
            self.address.bucket,
            prefix=self.address.prefix or None,
            client_options={
                "allow_http": url.startswith("http://"),
                "connect_timeout": f"{_CONNECT_SECONDS}s",
                "timeout": f"{_REQUEST_SECONDS}s",
            },
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=_REQUEST_SECONDS)},
            **options,
        )

    def get(self, key: str) -> tuple[bytes, str]:
        """An object's content and its entity tag.

        Raises:
            Absent, Outage, Refused: See there.
        """
        import obstore

        def read() -> tuple[bytes, str]:
            answer = obstore.get(self._store, key)
            return bytes(answer.bytes()), str(answer.meta["e_tag"])

        return self._said(read)

    def put(self, key: str, content: bytes, *, only_new: bool = False, replacing: str = "") -> str:
        """Writes an object, whole or not at all.

        Args:
            key: Its key.
            content: Its content.
            only_new: Refuse where there is one already.
            replacing: Refuse where there is not the one with this entity tag.

        Returns:
            Its entity tag.

        Raises:
            Conflict, Outage, Refused: See there.
        """
        import obstore

        mode: Any = "create" if only_new else {"e_tag": replacing} if replacing else "overwrite"
        return self._said(lambda: str(obstore.put(self._store, key, content, mode=mode, use_multipart=False)["e_tag"]))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Some of an object's bytes.

        Raises:
            Absent, Outage, Refused: See there.
        """
        import obstore

        return self._said(lambda: bytes(obstore.get_range(self._store, key, start=start, length=length)))

    def stat(self, key: str) -> Stat:
        """Bytes and entity tag of an object.

        Raises:
            Absent, Outage, Refused: See there.
        """
        import obstore

        def asked() -> Stat:
            meta = obstore.head(self._store, key)
            return Stat(int(meta["size"]), str(meta["e_tag"]))

        return self._said(asked)

    def stats(self, below: str | None = None) -> dict[str, Stat]:
        """Bytes and entity tag of all objects, or of those below a key.

        Raises:
            Outage, Refused: See there.
        """
        import obstore

        def listed() -> dict[str, Stat]:
            pages = obstore.list(self._store, below)
            return {str(m["path"]): Stat(int(m["size"]), str(m["e_tag"])) for page in pages for m in page}

        return self._said(listed)

    def sizes(self, below: str) -> dict[str, int]:
        """Key and bytes of all objects below a key; raises as `stats` does."""
        return {key: stat.size_bytes for key, stat in self.stats(below).items()}

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; those that are gone already are no error.

        Raises:
            Outage, Refused: See there.
        """
        import obstore

        for key in keys:
            with suppress(Absent):
                self._said(lambda key=key: obstore.delete(self._store, key))  # type: ignore[misc]

    def _said(self, action: Callable[[], _Result]) -> _Result:
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            return action()
        except (AlreadyExistsError, PreconditionError):
            raise Conflict(f"{self.address}: somebody else has written there") from None
        except (BaseError, OSError, ValueError) as error:
            raise self._in_words(error) from None

    def _in_words(self, error: Exception) -> RemoteError:
        text = str(error)
        code = next(iter(re.findall(r"<Code>(\w+)</Code>", text)), "")
        status = next(iter(re.findall(r"status code: (\d{3})", text)), "")
        if code in _REFUSALS:
            return Refused(f"{self.address}: {_REFUSALS[code]}")
        if isinstance(error, FileNotFoundError):  # before the words are looked at: the text names the object
            return Absent(f"{self.address}: no such object")
        if "169.254." in text or "credential" in text.replace(self.address.prefix or " ", " ").lower():
            return Refused(f"{self.address}: {_NO_KEYS}")
        if status in ("401", "403"):
            return Refused(f"{self.address}: {_DENIED}")
        if status:
            answer = f"{status} {code}".strip()
            return Outage(f"{self.address}: {self.host} answered {answer}; check the server, or try later")
        return Outage(
            f"{self.address}: no answer from {self.host}; check the network, the server, and AWS_ENDPOINT_URL"
        )
