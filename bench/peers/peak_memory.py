"""Trains PyTorch's twin of forja's resnet20Cifar for a few steps; bench/memory.ts says what is printed."""

import json
import resource
import sys

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.stride, self.more = stride, outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:  # every second pixel, channels of zeros
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return F.relu(y + x)


def resnet20():
    layers, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        layers += [Block(channels, width, stride), Block(width, width, 1), Block(width, width, 1)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


batch, steps, threads = map(int, sys.argv[1:])
torch.set_num_threads(threads)
F.conv2d(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 3, 3))
base = peak()
model = resnet20()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
x, labels = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
for _ in range(steps):
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(model(x), labels).backward()
    optimizer.step()
parameters = sum(p.numel() for p in model.parameters())
print(json.dumps({"version": f"PyTorch {torch.__version__}", "base": base, "peak": peak(), "parameters": parameters}))
