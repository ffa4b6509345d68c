"""The loop of PyTorch's tutorial on transfer learning, the whole net fine-tuned.

Settings, read in beginner_source/transfer_learning_tutorial.py of pytorch/tutorials and its many copies: batches of 4;
SGD with momentum 0.9 and rate 0.001, divided by 10 every 7 of 25 epochs; random-resized crops and flips; cross-entropy;
fp32; a copy of the weights whenever the accuracy is the best so far; 4 loader processes, or as many as there are cores.
"""

from __future__ import annotations

import copy

import shared

LR, MOMENTUM, STEP_EPOCHS, GAMMA = 0.001, 0.9, 7, 0.1
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    given = shared.options(__doc__, epochs=25, batch=4, workers=4)
    import torch
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    torch.manual_seed(given.seed)
    as_tensor = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    views = [transforms.RandomResizedCrop(given.side), transforms.RandomHorizontalFlip(), *as_tensor]
    whole = [transforms.Resize(round(given.side / given.crop_pct)), transforms.CenterCrop(given.side), *as_tensor]
    train_set = ImageFolder(given.data / "train", transforms.Compose(views))
    test_set = ImageFolder(given.data / "test", transforms.Compose(whole))
    train_loader = DataLoader(train_set, given.batch, shuffle=True, num_workers=given.workers)
    test_loader = DataLoader(test_set, given.batch, num_workers=given.workers)
    net = shared.network(given, len(train_set.classes))
    optimizer = torch.optim.SGD(net.parameters(), LR, MOMENTUM)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, STEP_EPOCHS, GAMMA)
    loss_of, forward = torch.nn.CrossEntropyLoss(), shared.forward_of(net, given)
    evaluations, best, weights = shared.Evaluations(given.target), -1.0, {}
    for epoch in range(round(given.epochs)):
        net.train()
        samples = shared.train(train_loader, forward, loss_of, optimizer)
        schedule.step()
        accuracy = shared.share_right(net, test_loader, forward)
        if evaluations.tell(epoch + 1, accuracy, samples):
            break
        if accuracy > best:
            best, weights = accuracy, copy.deepcopy(net.state_dict())
    else:
        net.load_state_dict(weights)


if __name__ == "__main__":
    main()
