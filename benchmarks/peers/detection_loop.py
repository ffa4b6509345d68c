"""torchvision's reference loop for detection, training the network of `fcos_mobilenet_v2` inside torchvision's FCOS.

Settings, read in references/detection/train.py and README.md of pytorch/vision (commits 3ceb056 and 04ec56a) and, for
FCOS, in the command line of its later README: batches of 2 a device, SGD with momentum 0.9 and weight decay 1e-4, rate
0.01 for eight devices, an eighth of it for one, as the script asks; divided by 10 after 16 and 22 of 26 epochs; in the
first epoch up from a thousandth; flips; fp32 unless asked for less. Pictures are made as large as the recipe of fewer
makes them, not 800 px. Evaluated after every epoch, picture by picture, by COCO's rules.
"""

from __future__ import annotations

import sys
from pathlib import Path

import shared

sys.path.append(str(Path(__file__).resolve().parents[1]))
from detection import Pictures, network, reference, scalars_of, together

DEVICES, LR, MOMENTUM, WEIGHT_DECAY = 8, 0.01, 0.9, 1e-4
MILESTONES, GAMMA, FIRST, WARM_UP_STEPS = (16, 22), 0.1, 1e-3, 1000


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
        if evaluations.tell(epoch + 1, scalars_of(model, tests, test_set)["ap50"], len(train_set)):
            break


if __name__ == "__main__":
    main()
