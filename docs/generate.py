"""Writes the pages that are made from docstrings: docs/cards/*.md, docs/recipe-keys.md, docs/python.md.

    python docs/generate.py

tests/docs/test_docs.py fails while a page is not what this script would write.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import fewer
from fewer import models, select
from fewer.core.clock import Duration, Period
from fewer.core.config import Section
from fewer.core.help import help_of
from fewer.core.sections import with_all_keys
from fewer.core.spending import Spending
from fewer.recipe.schema import Recipe

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/generate.py from docstrings; edit those. -->\n\n"


def pages() -> dict[Path, str]:
    """Every generated page: path below docs/, and text."""
    found = {Path("cards") / f"{name}.md": card(name) for name in select.names()}
    found[Path("recipe-keys.md")] = recipe_keys()
    found[Path("python.md")] = python_names()
    return found


def main() -> None:
    for path, text in pages().items():
        (DOCS / path).parent.mkdir(exist_ok=True)
        (DOCS / path).write_text(text, encoding="utf-8")
        print(f"docs/{path}")


def card(name: str) -> str:
    """One method: what it does, saves and costs, and its keys."""
    content = select.card(name)
    params = select.params(name)
    helps = help_of(params)
    rows = [
        (key, kind(field), default(field), text)
        for key, field, text in (
            *((key, field, helps.get(key, "")) for key, field in params.model_fields.items()),
            *_guards(name),
        )
        if key not in ("method", "guards")
    ]
    example = f'```toml\n[select]\nmethod = "{name}"\n```'
    return f"{NOTE}# {name}\n\n{content['summary']}\n\n{content['description']}\n\n{example}\n\n{table(rows)}"


def _guards(name: str) -> list[tuple[str, FieldInfo, str]]:
    """The keys of `select.guards` and their help, for methods that have it."""
    found = select.params(name).model_fields.get("guards")
    if not found:
        return []
    helps = help_of(type(found.default))
    return [(f"guards.{key}", field, helps.get(key, "")) for key, field in type(found.default).model_fields.items()]


def recipe_keys() -> str:
    """All keys of a recipe, a table a section."""
    sections = [f"## [{name}]\n\n{text}" for name, text in _sections(Recipe)]
    cards = ", ".join(f"[{name}](cards/{name}.md)" for name in select.names())
    head = (
        "# Recipe keys\n\n"
        "A recipe is a TOML file. Every key has a default but `data.source` and `model.name`; unknown keys are errors. "
        "Any key can be given on the command line as `section.key=value`, a stage's as `stages.0.side_px=24`.\n\n"
        'A duration has a unit: `"2ep"` (epochs), `"5%"` (of the run), and for checkpoints also `"500step"` and '
        '`"10min"`. Where relative paths start: [recipes.md](recipes.md#paths).\n\n'
        f"`[select]` takes the keys of its method: {cards}.\n\n"
    )
    return NOTE + head + "\n".join(sections)


def python_names() -> str:
    """The public names of the package and what each is for."""
    rows = [(name, _home(name), _first_sentence(getattr(fewer, name))) for name in fewer.__all__ if name[0] != "_"]
    lines = ["| name | from | what |", "|---|---|---|"]
    lines += [f"| `{name}` | `{home}` | {text} |" for name, home, text in rows]
    head = (
        "# Python\n\n"
        "```python\n"
        "import fewer\n\n"
        'recipe = fewer.load_recipe("photos.toml", ["train.epochs=20"])\n'
        'result = fewer.fit(recipe, name="photos")  # shows progress; progress=False does not\n'
        'print(result["metrics"]["test/top1"], result["ledger"]["full_epoch_equivalents"], result["folder"])\n\n'
        'for found in fewer.predict(result["folder"], "new-photos/"):\n'
        '    print(found.path, found.fault or found.answer["class"])\n\n'
        'model = fewer.load_model(result["folder"]).model  # a torch.nn.Module\n'
        "```\n\n"
        "Every call of `fit` trains into a folder of its own, here `runs/photos`, then `runs/photos-2`; a folder that "
        "is given, `fit(recipe, FOLDER)`, must be new. [plain-pytorch.md](plain-pytorch.md) loads the model without "
        "`fewer`.\n\n"
        "These names are the public surface, `fewer.NAME`, beside `fewer.__version__`. Each is imported at its first "
        "use: `import fewer` alone does not import torch. Other modules can be imported by their own names, and may "
        "change from version to version. Names for writing a selection method are in `fewer.select`.\n\n"
        "[examples/demo.py](../examples/demo.py) trains recipes, [examples/own_loop.py](../examples/own_loop.py) "
        "chooses samples in a plain PyTorch loop ([own-loops.md](own-loops.md)), and "
        "[examples/own_selector.py](../examples/own_selector.py) is a new selection method in one file.\n\n"
    )
    return NOTE + head + "\n".join(lines) + "\n"


def _sections(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and text of every section below a model."""
    for key, field in model.model_fields.items():
        inner = _model_of(field.annotation)
        if inner is None or inner is select.MethodParams:
            continue
        if inner is models.ModelParams:
            yield key, _model_keys()
            continue
        rows = _rows(inner)
        name = f"[{prefix}{key}]" if get_origin(field.annotation) is tuple else f"{prefix}{key}"
        _, _, said = inspect.cleandoc(inner.__doc__ or "").partition("`")[2].partition("`")
        lead = _sentence(said)
        if field.default is None:
            lead += "\n\nOptional as a whole: off where the section is left out."
        yield name, f"{lead}\n\n{table(rows)}{_plug_ins(inner, name)}".lstrip()
        yield from _sections(inner, f"{prefix}{key}.")


def _plug_ins(section: type[BaseModel], where: str) -> str:
    """The keys of every plug-in that a section can name, a table for each; one that several can name comes once."""
    text = ""
    parts = with_all_keys(section) if issubclass(section, Section) else ()
    for key, name, part in dict.fromkeys(parts):
        summary = inspect.cleandoc(inspect.getmodule(part).__doc__ or "").partition("\n\n")[0]
        heading = key if key == name else f'{where}.{key} = "{name}"'
        text += f"\n### {heading}\n\n{' '.join(summary.split())}\n"
        text += f"\n{table(_rows(part))}" if _rows(part) else ""
        for each, field in part.model_fields.items():
            if (inner := _model_of(field.annotation)) is not None:
                text += f"\nKeys of `{each}`, which is off where it is left out:\n\n{table(_rows(inner))}"
    return text


def _rows(section: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Key, type, default and help of a section's own keys, without those of sections within."""
    named = section.named_parts if issubclass(section, Section) else {}
    helps = help_of(section)
    choices = {key: " | ".join(f'`"{each}"`' for each in registry.names()) for key, registry in named.items()}
    return [
        (name, choices.get(name) or kind(field), default(field), helps.get(name, ""))
        for name, field in section.model_fields.items()
        if _model_of(field.annotation) is None
    ]


def _model_keys() -> str:
    """The keys that every model has, then those of each family."""
    shared, helps = models.ModelParams.model_fields, help_of(models.ModelParams)
    text = table([(name, kind(each), default(each), helps.get(name, "")) for name, each in shared.items()])
    for family in models.family_names():
        card, params = models.card(family), models.family_params(family)
        helps = help_of(params)
        rows = [
            (name, kind(each), default(each), helps.get(name, ""))
            for name, each in params.model_fields.items()
            if name not in shared
        ]
        text += f"\n### {family}\n\n{card['summary']}\n\n{card['description']}\n\n{table(rows)}"
    return text


def _sentence(text: str) -> str:
    text = text.lstrip(":. \n")
    return text[:1].upper() + text[1:]


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a field's type names, if it does."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def table(rows: list[tuple[str, str, str, str]]) -> str:
    """Key, type, default and help as a Markdown table."""
    lines = ["| key | type | default | |", "|---|---|---|---|"]
    for key, *cells in rows:
        typed, standard, text = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
        lines.append(f"| `{key}` | {typed} | {standard} | {text} |")
    return "\n".join(lines) + "\n"


def kind(field: FieldInfo) -> str:
    """A field's type in a reader's words."""
    limits = [str(each) for each in map(_limit, field.metadata) if each]
    return " ".join([_named(field.annotation), *([", ".join(limits)] if limits else [])])


def _named(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        limits = ", ".join(each for each in (_limit(m) for item in arguments[1:] for m in _parts(item)) if each)
        return f"{_named(arguments[0])}{' ' + limits if limits else ''}"
    if origin is Literal:
        return " | ".join(f'`"{each}"`' for each in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(_named(each) for each in arguments if each is not type(None))
    if origin is tuple and Ellipsis not in arguments:
        return f"[{', '.join(map(_named, arguments))}]"
    if origin is tuple:
        return f"list of {_named(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"{{ {', '.join(annotation.model_fields)} }}"
    words = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    words |= {**dict.fromkeys((Duration, Period), "duration"), Spending: 'amount, such as `"0.6"` or `"30min"`'}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _parts(item: Any) -> list[Any]:
    return list(item.metadata) if isinstance(item, FieldInfo) else [item]


def _limit(item: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return next((f"{sign} {getattr(item, name):g}" for name, sign in signs.items() if hasattr(item, name)), "")


def default(field: FieldInfo) -> str:
    """A field's default as it is written in TOML."""
    if field.is_required():
        return "required"
    if field.default is None or isinstance(field.default, BaseModel):
        return "left out"
    return f"`{_toml(field.default)}`"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, (str, Duration)) else f"{value:g}"


def _home(name: str) -> str:
    return str(fewer._MODULE[name])


def _first_sentence(value: Any) -> str:
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


if __name__ == "__main__":
    main()
