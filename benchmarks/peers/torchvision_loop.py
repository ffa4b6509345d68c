"""torchvision's reference recipe for classification, at the defaults of its script.

Settings, read in references/classification/{train,presets}.py and README.md of pytorch/vision (commits 017e9b9, 080836e
and 0677049): batches of 32; SGD with momentum 0.9, weight decay 1e-4 on everything; rate 0.1, divided by 10 every 30 of
90 epochs; random-resized crops and flips by Pillow, bilinear; cross-entropy; fp32; two copies of a checkpoint after
each epoch. Those are for eight devices of 32 images; one device takes an eighth of the rate, as the script for
detection asks. Its 16 loader processes are as many as there are cores.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import shared

if TYPE_CHECKING:
    from torch import Tensor

DEVICES, LR, MOMENTUM, WEIGHT_DECAY = 8, 0.1, 0.9, 1e-4
STEP_EPOCHS, GAMMA = 30, 0.1


def main() -> None:
    given = shared.options(__doc__, epochs=90, batch=32, workers=16)
    import torch
    from torchvision import transforms

    torch.manual_seed(given.seed)
    train_loader, test_loader, classes = shared.loaders(
        given, [transforms.PILToTensor(), transforms.ConvertImageDtype(torch.float)]
    )
    net = shared.network(given, classes)
    optimizer = torch.optim.SGD(net.parameters(), LR / DEVICES, MOMENTUM, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, STEP_EPOCHS, GAMMA)
    loss_of, forward = torch.nn.CrossEntropyLoss(), shared.forward_of(net, given)
    evaluations = shared.Evaluations(given.target)
    with tempfile.TemporaryDirectory() as folder:
        for epoch in range(round(given.epochs)):
            net.train()
            samples = shared.train(train_loader, forward, loss_of, optimizer, shown)
            schedule.step()
            is_reached = evaluations.tell(epoch + 1, shared.share_right(net, test_loader, forward), samples)
            state = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            for name in (f"model_{epoch}", "checkpoint"):
                torch.save(state, Path(folder, f"{name}.pth"))
            if is_reached:
                break


def shown(logits_BC: Tensor, label_B: Tensor) -> float:
    """Top-1 of a batch in training, which the script meters at every step."""
    return float((logits_BC.argmax(1) == label_B).float().mean())


if __name__ == "__main__":
    main()
