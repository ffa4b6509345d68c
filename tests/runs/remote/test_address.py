"""Addresses of object storage, and what access to it is found by."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.core.errors import RecipeError, RemoteError
from fewer.recipe.parse import parse_recipe
from fewer.runs.remote.address import parse_address
from fewer.runs.remote.bucket import require
from fewer.runs.remote.credentials import access


def test_an_address_is_a_bucket_and_a_prefix() -> None:
    address = parse_address("s3://my-bucket/runs/photos/")
    assert (address.bucket, address.prefix, address.name) == ("my-bucket", "runs/photos", "photos")
    assert str(address) == "s3://my-bucket/runs/photos"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("runs/photos", "no address"),
        ("s3://", "no name of a bucket"),
        ("s3://My_Bucket/x", "no name of a bucket"),
        ("s3://bucket", "whole bucket"),
        ("s3://bucket/a//b", "cannot be part of a prefix"),
        ("s3://bucket/../x", "cannot be part of a prefix"),
        ("s3://bucket/x?versionId=1", "cannot be part of a prefix"),
    ],
)
def test_what_is_no_address_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        parse_address(text)
    assert "s3://BUCKET/PREFIX" in str(caught.value)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="holds no credentials") as caught:
        parse_address("s3://key:secret-word@bucket/x")
    assert "secret-word" not in str(caught.value)
    for section, key in (("out", "remote"), ("data", "source")):
        content = {"data": {"source": "digits"}, "model": {"name": "lenet5"}, "out": {}}
        content[section][key] = "s3://key:secret/word@bucket/x"
        with pytest.raises(RecipeError, match="holds no credentials") as refused:
            parse_recipe(content)
        assert "secret/word" not in str(refused.value)


def test_the_shared_files_are_read_where_the_environment_is_silent(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nregion = eu-north-1\n[profile lab]\nregion = lab-1\nendpoint_url = https://lab.example.org/\n"
    )
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = a\naws_secret_access_key = b%c\n"
        "[lab]\naws_access_key_id = d\naws_secret_access_key = e\naws_session_token = f\n"
    )
    home = {"HOME": str(tmp_path)}
    assert access(home) == {"access_key_id": "a", "secret_access_key": "b%c", "region": "eu-north-1"}
    lab = access({**home, "AWS_PROFILE": "lab"})
    assert lab == {
        "access_key_id": "d", "secret_access_key": "e", "session_token": "f", "region": "lab-1",
        "endpoint": "https://lab.example.org", "virtual_hosted_style_request": False,
    }  # fmt: skip
    own = access({**home, "AWS_ACCESS_KEY_ID": "x", "AWS_REGION": "r", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    assert "access_key_id" not in own, "the library takes those of the environment"
    assert (own["region"], own["endpoint"]) == ("r", "http://127.0.0.1:1")
    assert access({"HOME": str(tmp_path / "nobody")}) == {"region": "us-east-1"}
    with pytest.raises(RemoteError, match="AWS_PROFILE = missing"):
        access({**home, "AWS_PROFILE": "missing"})


def test_what_is_wrong_with_access_is_said_without_what_is_secret(tmp_path: Path) -> None:
    broken = tmp_path / "credentials"
    broken.write_text("aws_secret_access_key = secret-word\n")
    env = {"HOME": str(tmp_path), "AWS_SHARED_CREDENTIALS_FILE": str(broken)}
    with pytest.raises(RemoteError, match="cannot be read") as caught:
        access(env)
    assert "secret-word" not in str(caught.value)
    for url in ("https://me:secret-word@example.org", "example.org", "http://[x"):
        with pytest.raises(RemoteError, match="AWS_ENDPOINT_URL is no URL") as caught:
            access({"HOME": str(tmp_path), "AWS_ENDPOINT_URL": url})
        assert "secret-word" not in str(caught.value)


def test_the_package_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewer.runs.remote.bucket.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="the package obstore is missing; pip install obstore"):
        require('out.remote = "s3://bucket/x"')
