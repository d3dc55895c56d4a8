"""Networks as other projects write them, small, for their state_dicts and outputs: written from the papers' graphs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Residual(nn.Module):
    """x + f(x) under the name `sub`."""

    def __init__(self, sub: nn.Module) -> None:
        super().__init__()
        self.sub = sub

    def forward(self, x: Tensor) -> Tensor:
        return x + self.sub(x)


class OldDense(nn.Module):
    def __init__(self, nf: int, gc: int, plus: bool = False) -> None:
        super().__init__()
        self.plus = plus
        if plus:
            self.conv1x1 = nn.Conv2d(nf, gc, 1, bias=False)
        act = nn.LeakyReLU(0.2)
        self.conv1 = nn.Sequential(conv(nf, gc), act)
        self.conv2 = nn.Sequential(conv(nf + gc, gc), act)
        self.conv3 = nn.Sequential(conv(nf + 2 * gc, gc), act)
        self.conv4 = nn.Sequential(conv(nf + 3 * gc, gc), act)
        self.conv5 = nn.Sequential(conv(nf + 4 * gc, nf))

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.conv1(x)
        x2 = self.conv2(torch.cat([x, x1], 1)) + (self.conv1x1(x) if self.plus else 0)
        x3 = self.conv3(torch.cat([x, x1, x2], 1))
        x4 = self.conv4(torch.cat([x, x1, x2, x3], 1)) + (x2 if self.plus else 0)
        return self.conv5(torch.cat([x, x1, x2, x3, x4], 1)) * 0.2 + x


class OldRRDB(nn.Module):
    def __init__(self, nf: int, gc: int, plus: bool = False) -> None:
        super().__init__()
        self.RDB1, self.RDB2, self.RDB3 = (OldDense(nf, gc, plus) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.RDB3(self.RDB2(self.RDB1(x))) * 0.2 + x


class OldESRGAN(nn.Module):
    """The network of the release of 2018: one long Sequential called `model`; ESRGAN+ with `plus`."""

    def __init__(self, scale: int, nf: int = 8, gc: int = 4, blocks: int = 2, plus: bool = False) -> None:
        super().__init__()
        trunk = Residual(nn.Sequential(*[OldRRDB(nf, gc, plus) for _ in range(blocks)], conv(nf, nf)))
        ups: list[nn.Module] = []
        for factor in {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}[scale]:
            ups += [nn.Upsample(scale_factor=factor, mode="nearest"), conv(nf, nf), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(conv(3, nf), trunk, *ups, conv(nf, nf), nn.LeakyReLU(0.2), conv(nf, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class ShuffleConv(nn.Module):
    """MMagic's PixelShufflePack."""

    def __init__(self, nf: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.upsample_conv = conv(nf, nf * factor**2)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.upsample_conv(x), self.factor)


class PlainBlock(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(nf, nf), conv(nf, nf)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


class MMagicMSRResNet(nn.Module):
    def __init__(self, scale: int, nf: int = 8, blocks: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.conv_first = conv(3, nf)
        self.trunk_net = nn.Sequential(*[PlainBlock(nf) for _ in range(blocks)])
        self.upsample1 = ShuffleConv(nf, 2 if scale == 4 else scale)
        if scale == 4:
            self.upsample2 = ShuffleConv(nf, 2)
        self.conv_hr, self.conv_last = conv(nf, nf), conv(nf, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.trunk_net(F.leaky_relu(self.conv_first(x), 0.1))
        y = F.leaky_relu(self.upsample1(y), 0.1)
        if self.scale == 4:
            y = F.leaky_relu(self.upsample2(y), 0.1)
        y = self.conv_last(F.leaky_relu(self.conv_hr(y), 0.1))
        return y + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)


class BNBlock(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        layers = [nn.Conv2d(nf, nf, 3, padding=1, bias=False), nn.BatchNorm2d(nf), nn.PReLU()]
        self.rcb = nn.Sequential(*layers, nn.Conv2d(nf, nf, 3, padding=1, bias=False), nn.BatchNorm2d(nf))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rcb(x)


class ShuffleBlock(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        self.upsample_block = nn.Sequential(conv(nf, 4 * nf), nn.PixelShuffle(2), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.upsample_block(x)


class LornatangSRResNet(nn.Module):
    def __init__(self, nf: int = 8, blocks: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, nf, 9, padding=4), nn.PReLU())
        self.trunk = nn.Sequential(*[BNBlock(nf) for _ in range(blocks)])
        self.conv2 = nn.Sequential(nn.Conv2d(nf, nf, 3, padding=1, bias=False), nn.BatchNorm2d(nf))
        self.upsampling = nn.Sequential(ShuffleBlock(nf), ShuffleBlock(nf))
        self.conv3 = nn.Conv2d(nf, 3, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv1(x)
        return self.conv3(self.upsampling(first + self.conv2(self.trunk(first))))


class LornatangESPCN(nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        self.feature_maps = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), conv(6, 4), nn.Tanh())
        self.sub_pixel = nn.Sequential(conv(4, scale**2), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        return self.sub_pixel(self.feature_maps(x))


class YjnESPCN(nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        self.first_part = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), conv(6, 4), nn.Tanh())
        self.last_part = nn.Sequential(conv(4, scale**2), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        return self.last_part(self.first_part(x))


class LornatangSRCNN(nn.Module):
    """On the upscaled image; the convolutions pad with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 6, 9, padding=4), nn.ReLU())
        self.map = nn.Sequential(nn.Conv2d(6, 4, 5, padding=2), nn.ReLU())
        self.reconstruction = nn.Conv2d(4, 1, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.reconstruction(self.map(self.features(x)))


class LornatangFSRCNN(nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        self.feature_extraction = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.PReLU(6))
        self.shrink = nn.Sequential(nn.Conv2d(6, 4, 1), nn.PReLU(4))
        self.map = nn.Sequential(*[layer for _ in range(3) for layer in (conv(4, 4), nn.PReLU(4))])
        self.expand = nn.Sequential(nn.Conv2d(4, 6, 1), nn.PReLU(6))
        self.deconv = nn.ConvTranspose2d(6, 1, 9, scale, padding=4, output_padding=scale - 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.deconv(self.expand(self.map(self.shrink(self.feature_extraction(x)))))


class ConvReLU(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(nf, nf, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class FastBlock(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(nf, nf, 3, padding=1, bias=False) for _ in range(2))
        self.bn1, self.bn2, self.relu1 = nn.InstanceNorm2d(nf), nn.InstanceNorm2d(nf), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))) + x


class FastUp(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        self.conv, self.relu = conv(nf, nf * 4), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(F.pixel_shuffle(self.conv(x), 2))


class FastSRGAN(nn.Module):
    """HasnainRaz' generator, of images in [-1, 1]; `forward` is what its program does with [0, 1]."""

    def __init__(self, nf: int = 8, blocks: int = 2) -> None:
        super().__init__()
        self.neck = nn.Sequential(conv(3, nf), nn.PReLU())
        self.stem = nn.Sequential(*[FastBlock(nf) for _ in range(blocks)])
        self.bottleneck = nn.Sequential(nn.Conv2d(nf, nf, 3, padding=1, bias=False), nn.InstanceNorm2d(nf))
        self.upsampling = nn.Sequential(FastUp(nf), FastUp(nf))
        self.head = nn.Sequential(conv(nf, 3), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        first = self.neck(x * 2 - 1)
        return (self.head(self.upsampling(self.bottleneck(self.stem(first)) + first)) + 1) / 2


class NhatThanhFSRCNN(nn.Module):
    """Of YCbCr images of the full range; the convolutions of the map have one activation together."""

    def __init__(self, scale: int, channels: int = 3, d: int = 6, s: int = 4, m: int = 3) -> None:
        super().__init__()
        self.m = m
        self.feature_extract = nn.Conv2d(channels, d, 5, padding=2)
        self.activation_1, self.activation_2 = nn.PReLU(d), nn.PReLU(s)
        self.shrink = nn.Conv2d(d, s, 1)
        for number in range(1, m + 1):
            self.add_module(f"map_{number}", nn.Conv2d(s, s, 3, padding=1))
        self.activation_3, self.activation_4 = nn.PReLU(s), nn.PReLU(d)
        self.expand = nn.Conv2d(s, d, 1)
        self.deconv = nn.ConvTranspose2d(d, channels, 9, scale, 4, scale - 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation_2(self.shrink(self.activation_1(self.feature_extract(x))))
        for number in range(1, self.m + 1):
            x = self.get_submodule(f"map_{number}")(x)
        return self.deconv(self.activation_4(self.expand(self.activation_3(x))))


class LornatangVDSR(nn.Module):
    """On the upscaled image."""

    def __init__(self, nf: int = 6, blocks: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(1, nf, 3, padding=1, bias=False), nn.ReLU())
        self.trunk = nn.Sequential(*[ConvReLU(nf) for _ in range(blocks)])
        self.conv2 = nn.Conv2d(nf, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.trunk(self.conv1(x)))


class BasicSRBlock(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(nf, nf), conv(nf, nf)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


class BasicSREDSR(nn.Module):
    """On 0 ... 255 less DIV2K's mean; the mean is no buffer."""

    def __init__(self, scale: int, nf: int = 8, blocks: int = 3) -> None:
        super().__init__()
        factors = [3] if scale == 3 else [2] * (scale // 2)
        self.conv_first = conv(3, nf)
        self.body = self.make_body(nf, blocks)
        self.conv_after_body = conv(nf, nf)
        steps = [step for factor in factors for step in (conv(nf, nf * factor**2), nn.PixelShuffle(factor))]
        self.upsample = nn.Sequential(*steps)
        self.conv_last = conv(nf, 3)

    def make_body(self, nf: int, blocks: int) -> nn.Sequential:
        return nn.Sequential(*[BasicSRBlock(nf) for _ in range(blocks)])

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.tensor([0.4488, 0.4371, 0.4040]).to(x).view(1, 3, 1, 1)
        x = self.conv_first((x - mean) * 255)
        x = self.conv_last(self.upsample(self.conv_after_body(self.body(x)) + x))
        return x / 255 + mean


class BasicSRAttention(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        reduce, expand = nn.Conv2d(nf, nf // 4, 1), nn.Conv2d(nf // 4, nf, 1)
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), reduce, nn.ReLU(), expand, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention(x)


class BasicSRRCAB(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        self.rcab = nn.Sequential(conv(nf, nf), nn.ReLU(), conv(nf, nf), BasicSRAttention(nf))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rcab(x)


class BasicSRGroup(nn.Module):
    def __init__(self, nf: int, blocks: int) -> None:
        super().__init__()
        self.residual_group = nn.Sequential(*[BasicSRRCAB(nf) for _ in range(blocks)])
        self.conv = conv(nf, nf)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(self.residual_group(x))


class BasicSRRCAN(BasicSREDSR):
    """EDSR's frame around groups with channel attention."""

    def make_body(self, nf: int, blocks: int) -> nn.Sequential:
        return nn.Sequential(*[BasicSRGroup(nf, blocks) for _ in range(2)])
