"""PyTorch as a peer of the benches: one JSON command a line on stdin, one JSON answer a line on stdout.

  {"do": "hello"}                                       -> versions and build of this PyTorch
  {"do": "prepare", "case": {...}, "files": {...}}      -> {"result": [numbers to compare]}
  {"do": "time", "seconds": s}                          -> {"samples": [seconds per call]} of the prepared case

Files are raw little-endian float32 (int32 for labels); shapes come with the case.
"""

import json
import sys
import time

import torch


def tensor(spec):
    dtype = {"float32": torch.float32, "int32": torch.int32}[spec["dtype"]]
    data = bytearray(open(spec["path"], "rb").read())
    return torch.frombuffer(data, dtype=dtype).reshape(spec["shape"])


def matmul(case, files):
    a, b = tensor(files["a"]), tensor(files["b"])
    a = a.t() if case["transposeA"] else a
    b = b.t() if case["transposeB"] else b
    out = torch.empty(a.shape[0], b.shape[1])

    def call():
        torch.mm(a, b, out=out)

    call()
    return call, out.flatten()[:64].tolist()


def lenet5():
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def mlp():
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))


def resnet18_cifar():
    from torch import nn
    import torch.nn.functional as F

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.shortcut = nn.Sequential()
            if stride != 1 or inputs != outputs:
                self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)))
            return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    channels = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(channels, width, stride), Block(width, width, 1)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


MODELS = {"lenet5": lenet5, "mlp": mlp, "resnet18Cifar": resnet18_cifar}


def network(case, files):
    """Training: SGD with momentum on one batch, the loss of the first three steps to compare. Inference: the logits."""
    model = MODELS[case["model"]]()
    with torch.no_grad():  # parameters in definition order are the same on both sides
        for i, parameter in enumerate(model.parameters()):
            parameter.copy_(tensor(files[f"parameter{i}"]))
    x, labels = tensor(files["x"]), tensor(files["labels"]).long()
    if not case["train"]:
        model.eval()

        def forward():
            with torch.no_grad():
                return model(x)

        return forward, forward().flatten()[:64].tolist()
    optimizer = torch.optim.SGD(model.parameters(), lr=case["lr"], momentum=0.9)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step, [step().item() for _ in range(3)]


KINDS = {"matmul": matmul, "network": network}


def main():
    torch.manual_seed(0)
    call = None
    for line in sys.stdin:
        command = json.loads(line)
        answer = {}
        if command["do"] == "hello":
            torch.set_num_threads(command["threads"])
            answer = {"torch": torch.__version__, "config": torch.__config__.show().split("\n")[:6]}
        elif command["do"] == "prepare":
            call, result = KINDS[command["case"]["kind"]](command["case"], command["files"])
            answer = {"result": result}
        elif command["do"] == "time":
            samples, end = [], time.perf_counter() + command["seconds"]
            while not samples or time.perf_counter() < end:
                begin = time.perf_counter()
                call()
                samples.append(time.perf_counter() - begin)
            answer = {"samples": samples}
        print(json.dumps(answer), flush=True)


main()
