"""`fewer doctor`: whether this machine can train, and what would make it better at it."""

from fewer.cli.options import Json


def doctor(as_json: Json = False) -> int:
    """Check Python, torch, processor, memory, disk and processes; each finding comes with its fix.

    The exit code is 6 if something fails that training needs.
    """
    import typer

    from fewer.core.errors import ResourceError, printable
    from fewer.doctor import FAIL, OK, WARN, findings

    colours = {OK: typer.colors.GREEN, WARN: typer.colors.YELLOW, FAIL: typer.colors.RED}
    found = []
    for finding in findings():
        found.append(finding)
        if not as_json:
            typer.echo(
                f"{typer.style(f'{finding.verdict:4}', colours[finding.verdict])}  "
                f"{finding.name:15} {printable(finding.what)}"
            )
            if finding.fix:
                typer.echo(f"{'':22}fix: {printable(finding.fix)}")
    failed = [finding.name for finding in found if finding.verdict == FAIL]
    if as_json:
        import json
        from dataclasses import asdict

        print(json.dumps({"schema": 1, "failed": failed, "findings": [asdict(finding) for finding in found]}))
    if failed:
        raise ResourceError(f"doctor: {', '.join(failed)}: must be mended before training")
    return 0
