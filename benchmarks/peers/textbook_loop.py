"""The loop of PyTorch's tutorial on transfer learning: the whole net fine-tuned, or with `--head-only` its last layer.

Settings, read in beginner_source/transfer_learning_tutorial.py of pytorch/tutorials and its many copies: batches of 4;
SGD with momentum 0.9 and rate 0.001, divided by 10 every 7 of 25 epochs; random-resized crops and flips; cross-entropy;
fp32; a copy of the weights whenever the accuracy is the best so far; 4 loader processes, or as many as there are cores.
"""

from __future__ import annotations

import copy

import shared

LR, MOMENTUM, STEP_EPOCHS, GAMMA = 0.001, 0.9, 7, 0.1
HEAD_ONLY = {"--head-only": "the tutorial's second part: freeze all but the last layer"}


def main() -> None:
    given = shared.options(__doc__, epochs=25, batch=4, workers=4, flags=HEAD_ONLY)
    import torch
    from torchvision import transforms

    torch.manual_seed(given.seed)
    train_loader, test_loader, classes = shared.loaders(given, [transforms.ToTensor()])
    net = shared.network(given, classes)
    learnt = list(net.parameters())
    if given.head_only:
        net.requires_grad_(False)  # BatchNorm's statistics still move, as in the tutorial
        learnt = [parameter.requires_grad_(True) for parameter in learnt[-shared.HEAD :]]
    optimizer = torch.optim.SGD(learnt, LR, MOMENTUM)
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
