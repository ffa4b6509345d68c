"""Mutation testing: a seeded draw of one-line changes, and which of them the tests miss.

`make mutants` runs it (extra `mutants`, Cosmic Ray's operators). Every change is made in a copy of the repository, in
which a process forked from one that has torch loaded runs the tests of the changed module, its folder's, then the
golden losses and the laws, and stops at the first failure. What survives is either listed in `mutants.toml`, with the
reason why it changes nothing that a user can notice, or the tests have a hole. Results lie in `.mutants/`, so that a
draw that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from itertools import islice, starmap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fewer"
RESULTS = ROOT / ".mutants" / "results.jsonl"
ARGUED = Path(__file__).with_name("mutants.toml")
# What results depend on. What only shows or describes them is left out.
MODULES = (
    "training/*.py", "session/epoch_metrics.py", "session/evaluation.py", "plan/*.py", "core/allocation.py",
    "core/ledger.py", "core/clock.py", "core/rng.py", "core/table.py", "select/**/*.py", "compare/arms.py",
    "compare/grid.py", "compare/results.py", "compare/variants.py", "compare/verdict.py", "sync/**/*.py",
    "optim/**/*.py", "data/augment/*.py", "data/decode/*.py", "data/listing/*.py", "runs/checkpoint.py",
)  # fmt: skip
# A change that a slip of the hand could make, one for each kind of node: not the dozens that no test would miss.
OPERATORS = {
    "AddNot", "NumberReplacer", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue",
    "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop", "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Invert",
    *(f"ReplaceBinaryOperator_{pair}" for pair in (
        "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Add", "Pow_Mul", "BitAnd_BitOr",
        "BitOr_BitAnd",
    )),
    *(f"ReplaceComparisonOperator_{pair}" for pair in (
        "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is",
    )),
}  # fmt: skip
SLOW = ("tests/golden", "tests/laws")
OF_OTHERS = {  # folders whose modules other folders' tests look at most closely
    "training": ("tests/sync", "tests/select/test_epoch.py"),
    "sync": ("tests/training",),
    "core": ("tests/plan", "tests/select"),
    "data": (),
    "compare": ("tests/cli/test_compare.py",),
    "runs": ("tests/session", "tests/faults"),
    "session": ("tests/inference",),
}
WITHOUT_LAWS = {"compare", "data"}  # their results do not reach the weights of a digit
SECONDS = 900  # a mutant that takes so long loops


@dataclass(frozen=True)
class Mutant:
    """A change of one line.

    Attributes:
        path: The module, below `src/fewer`.
        line: Number of the line, from 1.
        before, after: The line's text.
        digest: Of the changed file.
    """

    path: str
    line: int
    before: str
    after: str
    digest: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}\n  - {self.before}\n  + {self.after}"


def places(path: str) -> Iterator[tuple[str, str, int]]:
    """Where a module can be changed: its path, the operator, and which of the operator's occurrences there."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator

    nodes = list(ast_nodes(get_ast(_source(path))))
    for name in sorted(OPERATORS):
        operator = get_operator(f"core/{name}")()
        found = sum(len(list(operator.mutation_positions(node))) for node in nodes)
        yield from ((path, name, occurrence) for occurrence in range(found))


def change(path: str, name: str, occurrence: int) -> tuple[Mutant, str] | None:
    """A mutant and its source; None where the change means nothing, such as one of an annotation."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    before = _source(path)
    after = mutate_code(before, get_operator(f"core/{name}")(), occurrence)
    try:
        return None if _meaning(after) == _meaning(before) else (_mutant(path, before, after), after)
    except SyntaxError:
        return None


def _source(path: str) -> str:
    return (PACKAGE / path).read_text(encoding="utf-8")


def _mutant(path: str, before: str, after: str) -> Mutant:
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    number, (old, new) = next((n, pair) for n, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    return Mutant(path, number, old.strip(), new.strip(), hashlib.sha256(after.encode()).hexdigest()[:16])


class _Meaning(ast.NodeTransformer):
    """Drops what results do not depend on: annotations, what dataclasses and `zip` assert, examples for tests."""

    def visit_keyword(self, node: ast.keyword) -> ast.keyword | None:
        return None if node.arg in ("strict", "slots", "frozen") else self.generic_visit(node)  # type: ignore[return-value]

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        target = ast.Assign([node.target], node.value or ast.Constant(None))
        return self.visit_Assign(target)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        name = node.targets[0].id if isinstance(node.targets[0], ast.Name) else ""
        return None if name in ("EXAMPLES", "NEUTRAL") else self.generic_visit(node)


def _meaning(source: str) -> str:
    return ast.dump(_Meaning().visit(ast.parse(source)))


def drawn(seed: int, size: int) -> list[tuple[Mutant, str]]:
    """A draw without repetition, in which every mutant of every module has the same chance."""
    import parso.python.tree  # noqa: F401  (before Cosmic Ray, whose own order of imports is circular)

    paths = sorted({path for pattern in MODULES for path in PACKAGE.glob(pattern) if path.name != "__init__.py"})
    every = [place for path in paths for place in places(str(path.relative_to(PACKAGE)))]
    random.Random(seed).shuffle(every)
    return list(islice(filter(None, starmap(change, every)), size))


def tests_of(path: str) -> list[str]:
    """Tests that may notice a change of a module, the nearest first."""
    module, folder = Path(path), Path(path).parts[0]
    near = sorted((ROOT / "tests" / module.parent).glob(f"test_{module.stem}*.py"))
    far = ["tests" / module.parent, Path("tests", folder), *OF_OTHERS.get(folder, ())]
    slow = () if folder in WITHOUT_LAWS else SLOW
    names = [str(test.relative_to(ROOT)) for test in near] + [str(test) for test in (*far, *slow)]
    return [name for name in dict.fromkeys(names) if (ROOT / name).exists()]


# --- Running ------------------------------------------------------------------------------------------------------


def verdict(folder: Path, mutant: Mutant, source: str) -> dict[str, Any]:
    """Whether the tests notice a mutant, in this process's copy of the repository, which is put right again."""
    copy = _own_copy(folder)
    target = copy / "src" / "fewer" / mutant.path
    before, began = target.read_text(encoding="utf-8"), time.monotonic()
    target.write_text(source, encoding="utf-8")
    try:
        end, by = tried(copy, tests_of(mutant.path))
    finally:
        target.write_text(before, encoding="utf-8")
    return {**asdict(mutant), "end": end, "seconds": round(time.monotonic() - began), "by": by}


def tried(copy: Path, tests: list[str]) -> tuple[str, str]:
    """How some tests end on a copy as it is, and the first that failed."""
    child = multiprocessing.get_context("fork").Process(target=_run, args=(copy, tests))
    child.start()
    child.join(SECONDS)
    end = "survived" if child.exitcode == 0 else "killed" if child.exitcode is not None else "timed out"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid or 0, 9)  # it leads its own group: what it started ends with it
    child.join()
    output = (copy / "output.txt").read_text(errors="replace").splitlines()
    return end, next((line[:160] for line in output if line.startswith(("FAILED", "ERROR"))), "\n".join(output[-5:]))


def _run(copy: Path, tests: list[str]) -> None:
    """Runs tests against a copy, in a child of the process that has torch loaded."""
    import pytest

    os.setsid()
    os.chdir(copy)
    os.environ |= {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.path.insert(0, str(copy / "src"))
    sys.dont_write_bytecode = True
    output = os.open(copy / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests])
    os._exit(int(code))


@cache
def _own_copy(folder: Path) -> Path:
    """A copy of the committed and changed files, without what git ignores, in which the tests are known to pass."""
    for name in ("numpy", "torch", "torchvision", "scipy.stats", "safetensors.torch"):
        import_module(name)  # before processes are forked
    copy = folder / str(os.getpid())
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(lambda name: (ROOT / name).is_file(), listed.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    end, why = tried(copy, ["tests/core"])
    if end != "survived":
        raise RuntimeError(f"tests/core fails without any change: {why}")
    return copy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60, help="mutants of the draw (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="which draw (default 0)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="mutants of modules whose path begins so, such as training/")
    asked = parser.parse_args()
    draw = [pair for pair in drawn(asked.seed, asked.count) if pair[0].path.startswith(asked.only)]
    RESULTS.parent.mkdir(exist_ok=True)
    known = {}
    if RESULTS.exists():
        known = {row["digest"]: row for row in map(json.loads, RESULTS.read_text().splitlines())}
    found = [known[mutant.digest] for mutant, _ in draw if mutant.digest in known]
    todo = [pair for pair in draw if pair[0].digest not in known]
    print(f"{len(draw)} mutants, {len(found)} of them known", flush=True)
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="fewer-mutants-") as folder,
        ProcessPoolExecutor(asked.processes, mp_context=spawn) as pool,
    ):
        for future in as_completed([pool.submit(verdict, Path(folder), *pair) for pair in todo]):
            found.append(row := future.result())
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            where = f"{row['path']}:{row['line']}"
            print(f"{len(found)}/{len(draw)} {row['end']} {where} {row['seconds']} s {row['by']}", flush=True)
    return report(found)


def report(found: list[dict[str, Any]]) -> int:
    """Prints the score and what survived without a reason; returns 1 where something did."""
    argued = {(each["path"], each["after"]) for each in tomllib.loads(ARGUED.read_text(encoding="utf-8"))["equivalent"]}
    alive = [row for row in found if row["end"] == "survived"]
    equivalent = [row for row in alive if (row["path"], row["after"]) in argued]
    holes = [row for row in alive if row not in equivalent]
    for row in holes:
        print(f"\nsurvived: {Mutant(*(row[name] for name in Mutant.__dataclass_fields__))}")
    tried = len(found) - len(equivalent)
    killed = tried - len(holes)
    print(f"\n{killed} of {tried} killed ({killed / max(1, tried):.0%}); {len(equivalent)} equivalent")
    return int(bool(holes))


if __name__ == "__main__":
    sys.exit(main())
