"""PyTorch as a peer of the benches; lib/bench/peers.ts says what it is told and what it answers.

Where a case can be computed in two memory formats, channels first and last, both are tried and the faster is timed.
On GPUs, by CUDA events, FORJA_PEER_MODE says how networks run: eager (the default), as a captured graph, or compiled.
"""

import contextlib
import gc
import os
import statistics

import torch
import torch.nn.functional as F
from torch import nn

import protocol

MODE = os.environ.get("FORJA_PEER_MODE", "eager")
BURST, BURST_SECONDS = 8, 0.1  # calls between two events, and how long they take at most, about
TICKS, TICKS_OF_CALL = 100_000, 60_000  # of a GPU's clock, about half a nanosecond each
device = "cpu"  # what hello() was told
kernels = False  # whether the case is of an operation, whose time is without that of launching it, as forja's is
FORMATS = (torch.contiguous_format, torch.channels_last)


def tensor(spec):
    dtype = {"float32": torch.float32, "int32": torch.int32}[spec["dtype"]]
    return torch.frombuffer(protocol.read(spec), dtype=dtype).reshape(spec["shape"]).to(device)


def timed(call, count=1):
    """Seconds of a call; on GPUs the mean of `count` that are handed over together."""
    if device == "cpu":
        return protocol.timed(call)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    if kernels:
        torch.cuda._sleep(TICKS + TICKS_OF_CALL * count)  # in which all calls are handed over
    begin.record()
    for _ in range(count):
        call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000 / count


def timed_burst(call):
    if device == "cpu":
        return timed(call)
    return timed(call, max(1, min(BURST, round(BURST_SECONDS / max(timed(call), 1e-6)))))


def fastest(calls):
    """The call with the least time: each is made once, then in turn."""
    for call in calls:
        call()
    if len(calls) == 1:
        return calls[0]
    times = [[] for _ in calls]
    for _ in range(3):
        for call, samples in zip(calls, times):
            samples.append(timed(call))
    medians = [statistics.median(samples) for samples in times]
    return calls[medians.index(min(medians))]


def operand(case, spec):
    """A tensor in the precision of the case; TF32 is a way to compute, not to store."""
    return tensor(spec).to(torch.bfloat16 if case.get("precision") == "bfloat16" else torch.float32)


def matmul(case, files):
    a, b = operand(case, files["a"]), operand(case, files["b"])
    a = a.t() if case["transposeA"] else a
    b = b.t() if case["transposeB"] else b
    out = torch.empty(a.shape[0], b.shape[1], dtype=a.dtype, device=device)
    return [lambda: torch.mm(a, b, out=out)]


def in_formats(make, *operands):
    """`make(operands)` gives a call; one for each memory format of the operands with four dimensions."""

    def with_format(memory):
        return make(*[x.contiguous(memory_format=memory) if x.dim() == 4 else x for x in operands])

    return [with_format(memory) for memory in FORMATS]


def conv(case, files):
    stride, padding = [case["stride"]] * 2, [case["padding"]] * 2
    if case["direction"] == "forward":
        return in_formats(
            lambda x, w: lambda: F.conv2d(x, w, None, stride, padding),
            operand(case, files["x"]),
            operand(case, files["weight"]),
        )
    mask = [case["direction"] == "gradInput", case["direction"] == "gradWeight", False]
    # The operand that the gradient does not need is given for its shape.
    dy = operand(case, files["dy"])
    x = operand(case, files["x"]) if "x" in files else dy.new_empty(case["x"])
    w = operand(case, files["weight"]) if "weight" in files else dy.new_empty(case["weight"])
    backward = torch.ops.aten.convolution_backward

    def make(dy, x, w):
        arguments = (dy, x, w, None, stride, padding, [1, 1], False, [0, 0], 1, mask)
        return lambda: backward(*arguments)[mask.index(True)]

    return in_formats(make, dy, x, w)


def lstm(given, scale):
    """One layer over all steps as in training, or all of its gradients."""
    x, dy = given["x"], given.get("dy")
    layer = nn.LSTM(x.shape[2], given["weight_hh_l0"].shape[1], batch_first=True).to(device)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(given[name] * scale)
    if dy is None:
        return lambda: layer(x)[0]
    wanted = [x.requires_grad_(), *layer.parameters()]
    y = layer(x)[0]
    return lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)[0]


def one_kernel():
    """What an optimizer is told to update all parameters by one kernel, of which only GPUs have launches to save."""
    return {} if device == "cpu" else {"fused": True}


def adam(x, gradient):
    x.grad = gradient
    optimizer = torch.optim.Adam([x], **(one_kernel() or {"foreach": True}))

    def step():
        optimizer.step()
        return x

    return step


def op(case, files):
    x = tensor(files["x"])
    given = {name: tensor(spec) for name, spec in files.items()}
    name = case["op"]
    if name == "adam":
        return [adam(x, given["gradient"])]
    if name == "lstm":
        return [lstm(given, case["scale"])]
    if name == "transpose":
        return [lambda: x.permute(case["axes"]).contiguous()]
    if name == "crossEntropy":
        logits, labels = x.requires_grad_(), given["labels"].long()
        return [lambda: torch.autograd.grad(F.cross_entropy(logits, labels), logits)[0]]
    aten = torch.ops.aten
    gamma, beta, dy = given.get("gamma"), given.get("beta"), given.get("dy")

    if name == "layerNorm":
        return [lambda: F.layer_norm(x, gamma.shape, gamma, beta)]
    if name == "layerNormGradient":
        _, mean, inverse = aten.native_layer_norm(x, gamma.shape, gamma, beta, 1e-5)
        arguments = (dy, x, gamma.shape, mean, inverse, gamma, beta, [True, False, False])
        return [lambda: aten.native_layer_norm_backward(*arguments)[0]]

    def batch_norm(x):
        return F.batch_norm(x, None, None, gamma, beta, training=True)

    def batch_norm_gradient(x, dy):
        _, mean, inverse = aten.native_batch_norm(x, gamma, beta, None, None, True, 0.1, 1e-5)
        arguments = (dy, x, gamma, None, None, mean, inverse, True, 1e-5, [True, True, True])
        return lambda: aten.native_batch_norm_backward(*arguments)[0]

    def pool_window():
        return [[case[key]] * 2 for key in ("kernel", "stride", "padding")]

    def max_pool_gradient(x, dy):
        _, indices = F.max_pool2d(x, *pool_window(), return_indices=True)
        arguments = (dy, x, *pool_window(), [1, 1], False, indices)
        return lambda: aten.max_pool2d_with_indices_backward(*arguments)

    makers = {
        "relu": lambda x: lambda: F.relu(x),
        "reluGradient": lambda x, dy: lambda: aten.threshold_backward(dy, x, 0),
        "add": lambda x, dy: lambda: x + dy,
        "batchNorm": lambda x: lambda: batch_norm(x),
        "batchNormRelu": lambda x: lambda: F.relu_(batch_norm(x)),
        "batchNormAddRelu": lambda x, dy: lambda: F.relu_(batch_norm(x).add_(dy)),
        "batchNormGradient": batch_norm_gradient,
        "maxPool": lambda x: lambda: F.max_pool2d(x, *pool_window()),
        "maxPoolGradient": max_pool_gradient,
        "avgPool": lambda x: lambda: F.avg_pool2d(x, case["kernel"]),
        "globalAvgPool": lambda x: lambda: F.adaptive_avg_pool2d(x, 1),
    }
    return in_formats(makers[name], *([x] if dy is None else [x, dy]))


def lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))


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


def resnet18_cifar():
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    channels = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(channels, width, stride), Block(width, width, 1)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != 4 * width:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


def resnet50():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(channels, width, stride if i == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


def vgg16():
    layers, channels = [], 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers)


class LSTMClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(28, 128, batch_first=True)
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        _, (h, _) = self.rnn(x.squeeze(1))
        return self.fc(h[-1])


MODELS = {
    "lenet5": lenet5,
    "mlp": mlp,
    "resnet18Cifar": resnet18_cifar,
    "resnet50": resnet50,
    "vgg16": vgg16,
    "lstmClassifier": LSTMClassifier,
}


def captured(call):
    """`call` as a CUDA graph: what it launches is launched again, with its last result in the same place."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    gc.collect()  # parts of earlier steps would remember the stream that these ran on
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        call()

    def replay():
        graph.replay()
        return call  # which holds the memory that the graph works on

    return replay


def compiled(function):
    if MODE != "compile":
        return function
    if not hasattr(torch, "compile"):
        raise protocol.Unsupported(f"PyTorch {torch.__version__} has no torch.compile")
    return torch.compile(function, mode="max-autotune")


def set_precision(precision):
    """What a network's forward pass runs in; bfloat16 is mixed precision, with weights in float32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    if precision != "bfloat16":
        return contextlib.nullcontext
    return lambda: torch.autocast(device.split(":")[0], dtype=torch.bfloat16)


def network(case, files):
    """Training: SGD with momentum on one batch, the losses of the first steps to compare. Inference: the logits."""
    if case["model"] not in MODELS:
        raise protocol.Unsupported(f"no network {case['model']}")
    model = MODELS[case["model"]]()
    with torch.no_grad():  # parameters in definition order are the same on both sides
        for i, parameter in enumerate(model.parameters()):
            parameter.copy_(tensor(files[f"parameter{i}"]))
    model = model.to(device)
    x, labels = tensor(files["x"]), tensor(files["labels"]).long()
    precision = set_precision(case["precision"])
    if case["precision"] == "bfloat16" and x.dim() == 4:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)

    def predict():
        with precision():
            return model(x)

    if not case["train"]:
        model.eval()
        run = compiled(predict)

        def forward():
            with torch.inference_mode():
                return run()

        result = forward().float().cpu()
        return protocol.Prepared(captured(forward) if MODE == "graph" else forward, result)

    def loss_of():
        with precision():
            return F.cross_entropy(model(x).float(), labels)

    optimizer = torch.optim.SGD(model.parameters(), lr=case["lr"], momentum=0.9, **one_kernel())
    run = compiled(loss_of)

    def step():
        if MODE == "compile":
            torch.compiler.cudagraph_mark_step_begin()  # what the last step gave may be overwritten
        optimizer.zero_grad()
        loss = run()
        loss.backward()
        optimizer.step()
        return loss

    losses = torch.tensor([step().item() for _ in range(case["steps"])])
    return protocol.Prepared(captured(step) if MODE == "graph" else step, losses)


KINDS = {"matmul": matmul, "conv": conv, "op": op, "network": network}


def prepare(case, files):
    global kernels
    kernels = case["kind"] != "network"
    if device != "cpu":
        gc.collect()  # the last case's networks and graphs refer to themselves
        torch.cuda.empty_cache()  # other processes use this GPU
    set_precision(case.get("precision", "float32"))
    calls = KINDS[case["kind"]](case, files)
    if isinstance(calls, protocol.Prepared):
        return calls.call, calls.result.numpy().tobytes()
    # The first call's result: those of an optimizer change with every call.
    result = calls[0]().detach().float().contiguous().cpu().numpy().tobytes()
    return fastest(calls), result


def hello(threads, name):
    global device
    device = name.split(":")[0]
    torch.set_num_threads(threads)
    if device == "cpu":
        lines = torch.__config__.show().split("\n")
        onednn = next((line.strip(" -\n") for line in lines if "MKL-DNN" in line), "no oneDNN")
        return f"PyTorch {torch.__version__}, {onednn.split(' (')[0]}"
    if not torch.cuda.is_available():
        raise protocol.Unsupported(f"PyTorch {torch.__version__} sees no GPU")
    device = name
    torch.backends.cudnn.benchmark = True
    set_precision("float32")
    how = {"eager": "eager", "graph": "captured graphs", "compile": "torch.compile, max-autotune"}[MODE]
    return f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, {how}"


protocol.serve(hello, prepare, timed_burst)
