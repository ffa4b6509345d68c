"""`fewer doctor`: checks of this machine, with fixes."""

from fewer.cli.options import Devices, Json


def doctor(devices: Devices = 1, as_json: Json = False) -> int:
    """Check Python, torch, processor, memory, disk and processes; each problem comes with its fix.

    With --devices N also N processes that train together, a line each; under torchrun or srun those of all machines.

    The exit code is 6 if something fails that training needs.
    """
    import typer

    from fewer.core.errors import ResourceError, printable
    from fewer.doctor import FAIL, OK, WARN, check_results

    colours = {OK: typer.colors.GREEN, WARN: typer.colors.YELLOW, FAIL: typer.colors.RED}
    results = []
    for result in check_results(devices):
        results.append(result)
        if not as_json:
            typer.echo(
                f"{typer.style(f'{result.verdict:4}', colours[result.verdict])}  "
                f"{result.name:15} {printable(result.what)}"
            )
            if result.fix:
                typer.echo(f"{'':22}fix: {printable(result.fix)}")
    failed = [result.name for result in results if result.verdict == FAIL]
    if as_json:
        import json
        from dataclasses import asdict

        print(json.dumps({"schema": 1, "failed": failed, "findings": [asdict(result) for result in results]}))
    if failed:
        raise ResourceError(f"doctor: {', '.join(failed)}: must be fixed before training")
    return 0
