"""torchvision's reference loop for detection, training the network of `fcos_mobilenet_v2` inside torchvision's FCOS.

Settings, read in references/detection/train.py and README.md of pytorch/vision (commits 3ceb056 and 04ec56a) and, for
FCOS, in the command line of its later README: batches of 2 a device, SGD with momentum 0.9 and weight decay 1e-4, rate
0.01 for eight devices, an eighth of it for one, as the script asks; divided by 10 after 16 and 22 of 26 epochs; in the
first epoch up from a thousandth; flips; fp32 unless asked for less. Pictures are made as large as the recipe of fewer
makes them, not 800 px. Evaluated after every epoch, picture by picture, by COCO's rules.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shared

sys.path.append(str(Path(__file__).resolve().parents[1]))
from detection import Pictures, network, reference, together

if TYPE_CHECKING:
    from torch import nn

DEVICES, LR, MOMENTUM, WEIGHT_DECAY = 8, 0.01, 0.9, 1e-4
MILESTONES, GAMMA, FIRST, WARM_UP_STEPS = (16, 22), 0.1, 1e-3, 1000
DETECTIONS = 100


def main() -> None:
    given = shared.options(__doc__, epochs=26, batch=2, workers=4)
    import torch

    from fewer.data.listing.splits import open_splits

    torch.manual_seed(given.seed)
    splits = open_splits(str(given.data))
    train_set, test_set = Pictures(splits.train), Pictures(splits.test, is_training=False)
    loader, tests = (
        torch.utils.data.DataLoader(each, size, is_training, num_workers=given.workers, collate_fn=together)
        for each, size, is_training in ((train_set, given.batch, True), (test_set, 1, False))
    )
    model = reference(train_set, given.side, network(train_set, given.side, str(given.weights or "none")))
    if given.channels_last:
        model = model.to(memory_format=torch.channels_last)
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(trained, LR / DEVICES, MOMENTUM, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, MILESTONES, GAMMA)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, FIRST, total_iters=min(WARM_UP_STEPS, len(loader) - 1))
    evaluations = shared.Evaluations(given.target)
    for epoch in range(round(given.epochs)):
        model.train()
        for images, targets in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=given.precision == "bf16"):
                loss = sum(model(list(images), list(targets)).values())
            if not torch.isfinite(loss.detach()):
                raise SystemExit("the reference diverged")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if epoch == 0:
                warm_up.step()
        schedule.step()
        if evaluations.tell(epoch + 1, ap50(model, tests, test_set), len(train_set)):
            break


def ap50(model: nn.Module, batches: Iterable[Any], data: Pictures) -> float:
    """AP50 of the pictures, which come in the order of their ids."""
    import numpy as np
    import torch

    from fewer.tasks.detect import coco
    from fewer.tasks.detect.metrics import scalars

    model.eval()
    found, true = [np.empty((0, 7))], [np.empty((0, 9))]
    with torch.inference_mode():
        for id, (images, targets) in zip(data.ids, batches, strict=True):
            (each,), (target,) = model(list(images)), targets
            columns = (each["labels"][:, None], each["boxes"], each["scores"][:, None])
            found.append(rows(id, *columns))
            area = (target["boxes"][:, 2:] - target["boxes"][:, :2]).prod(1, keepdim=True)
            counted = torch.zeros(len(area), 2)  # neither a crowd nor to be ignored
            true.append(rows(id, target["labels"][:, None], target["boxes"], area, counted))
    precision = coco.precision(np.concatenate(found), np.concatenate(true), data.ids, data.classes, DETECTIONS)
    return scalars(precision)["ap50"]


def rows(id: int, *columns: Any) -> Any:
    """Columns side by side behind the picture's id, as numpy."""
    import torch

    table = torch.cat([column.as_subclass(torch.Tensor).double() for column in columns], 1)
    return torch.cat([torch.full((len(table), 1), float(id), dtype=torch.float64), table], 1).numpy()


if __name__ == "__main__":
    main()
