"""timm's training script at its defaults, put together from timm's public functions.

Settings, read in train.py of huggingface/pytorch-image-models (commit 2aabaef) and the same in the functions of timm
1.0.31: batches of 128, the last incomplete one dropped; SGD with Nesterov's momentum 0.9, weight decay 2e-5 on filters
alone; rate 0.1 for 256 images, scaled to the batch; cosine to 0 over 300 epochs, stepped once an epoch, after 5 epochs
from 1e-5 up; random-resized crops of 8 to 100 % of the area, random interpolation, flips, colour jitter 0.4; label
smoothing 0.1; no mixup, no average of the weights, fp32; a checkpoint after each epoch, the ten best kept. Flags that
came later do nothing until they are given.
"""

from __future__ import annotations

import tempfile

import shared

SMOOTHING, WARM_UP_EPOCHS, WARM_UP_LR = 0.1, 5, 1e-5
BASE_LR, BASE_BATCH, MOMENTUM, WEIGHT_DECAY = 0.1, 256, 0.9, 2e-5


def main() -> None:
    given = shared.options(__doc__, epochs=300, batch=128, workers=4)
    import timm
    import torch
    from timm.data import create_dataset, create_loader, resolve_data_config
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2

    timm.utils.random_seed(given.seed, 0)
    train_set, test_set = (create_dataset("", root=str(given.data), split=split) for split in ("train", "test"))
    net = shared.network(given, len(train_set.reader.class_to_idx))
    asked = {"input_size": (3, given.side, given.side), "crop_pct": given.crop_pct}
    data = resolve_data_config(asked, model=net)
    common = {
        "input_size": data["input_size"],
        "batch_size": given.batch,
        "mean": data["mean"],
        "std": data["std"],
        "num_workers": given.workers,
        "device": torch.device("cpu"),
        "persistent_workers": given.workers > 0,
    }
    train_loader = create_loader(
        train_set,
        is_training=True,
        scale=(0.08, 1.0),
        ratio=(3 / 4, 4 / 3),
        hflip=0.5,
        color_jitter=0.4,
        interpolation="random",
        **common,
    )
    test_loader = create_loader(test_set, interpolation=data["interpolation"], crop_pct=data["crop_pct"], **common)
    rate = BASE_LR * given.batch / BASE_BATCH
    optimizer = create_optimizer_v2(net, "sgd", lr=rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    schedule, epochs = create_scheduler_v2(
        optimizer,
        "cosine",
        num_epochs=round(given.epochs),
        warmup_epochs=WARM_UP_EPOCHS,
        warmup_lr=WARM_UP_LR,
        updates_per_epoch=len(train_loader),
    )
    loss_of, forward = LabelSmoothingCrossEntropy(SMOOTHING), shared.forward_of(net, given)
    evaluations = shared.Evaluations(given.target)
    with tempfile.TemporaryDirectory() as folder:
        saver = timm.utils.CheckpointSaver(net, optimizer, checkpoint_dir=folder, recovery_dir=folder)
        for epoch in range(epochs):
            net.train()
            samples = shared.train(train_loader, forward, loss_of, optimizer)
            accuracy = shared.share_right(net, test_loader, forward)
            is_reached = evaluations.tell(epoch + 1, accuracy, samples)
            saver.save_checkpoint(epoch, metric=accuracy)
            if is_reached:
                break
            schedule.step(epoch + 1, accuracy)


if __name__ == "__main__":
    main()
