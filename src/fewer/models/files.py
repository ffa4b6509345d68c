"""Named tensors from files of unknown origin: safetensors, or torch's format without any other Python object."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fewer.core.errors import DataError
from fewer.data.decode.formats import named_format

# Under which keys programs save the weights beside other things; the trained weights before averaged ones.
_NESTED: tuple[str, ...] = (
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net"),
    *("state_dict_ema", "model_ema", "ema"),
)
_TORCH = (b"PK", b"\x80")  # first bytes of its files: of zip archives, and of the pickles that it wrote before
_PREFIXES = re.compile(r"^(?:module\.|_orig_mod\.)+")  # what DataParallel, DDP, AveragedModel and torch.compile prepend


def is_safetensors(path: Path) -> bool:
    """Whether a file is one of safetensors, by its name or its first bytes: a length, and the brace of a header."""
    return path.suffix == ".safetensors" or _head(path)[8:9] == b"{"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2048)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU, without the prefixes that torch's own wrappers give names.

    Safetensors, or torch's format, whatever the file is called.

    Raises:
        DataError: The file cannot be read, is damaged, or holds something else.
    """
    try:
        head = _head(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    safe = is_safetensors(path)
    if (found := _other_file(head)) and not (safe and head[8:9] == b"{"):
        raise DataError(f"{path}: holds no weights: it is {found}")
    if not safe and not head.startswith(_TORCH):
        raise DataError(f"{path}: damaged, or no file of tensors (neither torch's nor safetensors); copy it again")
    try:
        content: Any = load_file(path) if safe else _unpickled(path)
        tensors = _tensors(content)
    except SafetensorError as error:
        raise DataError(f"{path}: not a whole safetensors file ({_short(error)}); copy it again") from None
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path}: holds more than tensors ({_short(error)}), and reading that could run code of the file's; "
            "save model.state_dict() alone, best as .safetensors"
        ) from None
    except Exception as error:  # torch's reader raises whatever its parts do on damaged files
        raise DataError(f"{path}: damaged, or no file of tensors ({_short(error)}); copy it again") from None
    if not tensors:
        keys = ", ".join(map(repr, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        raise DataError(f"{path}: holds no named tensors but {keys or 'nothing'}; save model.state_dict()")
    return {_PREFIXES.sub("", name): tensor for name, tensor in tensors.items()}


def _other_file(head: bytes) -> str:
    """What a file is that holds no weights; "" if its first bytes do not tell."""
    if head.startswith(b"\x89HDF"):
        return "HDF5, as Keras saves models; save the weights of a PyTorch network with torch.save"
    return "" if head.startswith(_TORCH) else named_format(head)


def _unpickled(path: Path) -> Any:
    # torch maps what it can; older files are not zip archives and must be read.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about formats that it goes on to read or to refuse
        return torch.load(path, weights_only=True, map_location="cpu", mmap=zipfile.is_zipfile(path))


def _tensors(content: Any) -> dict[str, Tensor]:
    """The state dict in what was read: the content itself, or below one of the usual keys."""
    if not isinstance(content, Mapping):
        return {}
    for key in _NESTED:
        if isinstance(content.get(key), Mapping):
            return _tensors(content[key])
    return {
        name: tensor
        for name, tensor in content.items()
        if isinstance(name, str) and isinstance(tensor, Tensor) and tensor.layout == torch.strided
    }


def _short(error: Exception) -> str:
    """The first words of a message; torch's own go on for pages."""
    text = " ".join(str(error).split()) or type(error).__name__
    unsupported = re.search(r"Unsupported (?:global|class|operand)[^.]*\.?[\w.]*", text)
    return (unsupported[0] if unsupported else text)[:160]
