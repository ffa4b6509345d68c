"""Access to object storage as AWS' own tools find it: the environment first, then the shared files below `~/.aws`.

Roles of machines, containers and web identities are the storage library's business. Nothing that is read here is ever
logged, or written anywhere.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fewer.core.errors import RemoteError

_REGION = "us-east-1"  # where none is named; servers of one's own take any
_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}


def access(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a store is opened with, beside its bucket.

    Args:
        environ: The environment; the process's own if left out.

    Raises:
        RemoteError: A profile is missing, or a shared file cannot be read.
    """
    env = os.environ if environ is None else environ
    profile = _profile(env)
    found: dict[str, Any] = {}
    if not env.get("AWS_ACCESS_KEY_ID") and "aws_access_key_id" in profile:
        found |= {ours: profile[theirs] for theirs, ours in _KEYS.items() if theirs in profile}
    found["region"] = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or profile.get("region") or _REGION
    if url := endpoint(env, profile):
        found |= {"endpoint": url, "virtual_hosted_style_request": False}
    return found


def endpoint(env: Mapping[str, str], profile: Mapping[str, str]) -> str:
    """The server's URL; "" is Amazon's own.

    Raises:
        RemoteError: It is no URL.
    """
    named = [env.get("AWS_ENDPOINT_URL_S3"), env.get("AWS_ENDPOINT_URL"), profile.get("endpoint_url")]
    url = next(filter(None, named), "").rstrip("/")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        valid = False
    if url and not valid:  # not repeated: it may hold a password
        raise RemoteError("AWS_ENDPOINT_URL is no URL of a server; set it as in https://storage.example.org:9000")
    return url


def _profile(env: Mapping[str, str]) -> dict[str, str]:
    """The keys of the profile that counts."""
    home = Path(env.get("HOME", "") or Path.home()) / ".aws"
    config = Path(env.get("AWS_CONFIG_FILE") or home / "config").expanduser()
    secrets = Path(env.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials").expanduser()
    asked = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE") or ""
    name = asked or "default"
    section = name if name == "default" else f"profile {name}"
    found = [sections.get(key) for sections, key in ((_read(config), section), (_read(secrets), name))]
    if asked and found == [None, None]:
        raise RemoteError(f"AWS_PROFILE = {asked}: neither {config} nor {secrets} has this profile; correct the name")
    return {key: value for keys in found if keys for key, value in keys.items()}


def _read(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False, default_section="\0")
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, configparser.Error) as error:  # its text may hold a line of the file
        raise RemoteError(f"{path}: cannot be read ({type(error).__name__}); mend this file") from None
    return {name: dict(parser[name]) for name in parser.sections()}
