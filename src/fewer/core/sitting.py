"""The end of a sitting: the moment at which a run is saved and stops, to go on another day."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from fewer.core.errors import UsageError

_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h)\s*")
_SECONDS = {"s": 1, "min": 60, "h": 3600}
_CLOCK = re.compile(r"\s*(\d{1,2}):(\d{2})\s*")
_LONGEST_HOURS = 24 * 366


def end_of_sitting(until: str, length: str, now: datetime | None = None, may_be_over: bool = False) -> datetime | None:
    """The moment that `--until` or `--for` names; None where neither is given.

    Args:
        until: A time of day such as "07:00", the next time that clocks show it, or a date and time such as
            "2026-11-30T07:00".
        length: A length such as "90min", "2h" or "45s".
        now: The present moment, by the local clock.
        may_be_over: Whether a date and time may have passed, as where another process has read it before.

    Raises:
        UsageError: Both are given, one cannot be read, or the moment is over.
    """
    now = now or datetime.now()
    if until and length:
        raise UsageError(f"--until {until} and --for {length}: give one of the two")
    if length:
        return now + _parsed_length(length)
    return _moment(until, now, may_be_over) if until else None


def _parsed_length(text: str) -> timedelta:
    match = _LENGTH.fullmatch(text)
    hours = float(match[1]) * _SECONDS[match[2]] / 3600 if match else 0.0
    if not 0 < hours <= _LONGEST_HOURS:
        raise UsageError(f'--for {text}: no length of time; write "90min", "2h" or "45s"')
    return timedelta(hours=hours)


def _moment(text: str, now: datetime, may_be_over: bool) -> datetime:
    try:
        if match := _CLOCK.fullmatch(text):
            today = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
            return today if today > now else today + timedelta(days=1)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until {text}: no moment; write 07:00, or 2026-11-30T07:00") from None
    if moment.tzinfo:
        moment = moment.astimezone().replace(tzinfo=None)
    if moment <= now and not may_be_over:
        raise UsageError(f"--until {text}: that moment is over; it is {now:%Y-%m-%dT%H:%M} here")
    return moment
