"""What torchvision's segmentation networks have in common; each has a module of its own beside this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck

from segtriton_server.vision.errors import NetworkFileError

SEEDED = "seeded"
_SEED = 0
_SEEDED_LOGITS_DEVIATION = 3.0
# ImageNet's statistics, with which all of them were trained.
MEAN_RGB = 0.485, 0.456, 0.406
STD_RGB = 0.229, 0.224, 0.225

# PASCAL VOC 2012.
VOC_CLASSES = (
    "background",
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


@dataclass(frozen=True, slots=True)
class TorchvisionNetwork:
    """One of torchvision's segmentation networks with its COCO_WITH_VOC_LABELS_V1 weights.

    Attributes:
        name: as a client asks for it.
        build: makes the module without weights.
        weights_file: torchvision's own name of the file; it ends with the first digits of the file's SHA-256.
    """

    name: str
    build: Callable[[], nn.Module]
    weights_file: str

    def load(self, folder: Path, weights: str) -> nn.Module:
        """Return the module with weights, in float32 on the CPU, without its auxiliary classifier.

        Args:
            folder: where network files lie.
            weights: a file's name in `folder`, "" for `weights_file`, "seeded" for random ones.

        Raises:
            NetworkFileError: the file is missing or holds other weights.
        """
        network = self._seeded() if weights == SEEDED else self._trained(folder / (weights or self.weights_file))
        network.aux_classifier = None
        return network.eval()

    def _trained(self, path: Path) -> nn.Module:
        network = self.build()
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except OSError as error:
            raise NetworkFileError(
                f"network file {path.name} cannot be read: {error.strerror}; fetch it, or ask for the weights "
                f'"{SEEDED}" to run without meaning'
            ) from error
        except Exception as error:
            raise NetworkFileError(f"network file {path.name} does not hold the weights of {self.name}") from error
        return network

    def _seeded(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            network = self.build()
            for module in network.modules():
                if isinstance(module, Bottleneck):
                    # Untrained, each block doubles the variance, and 33 of them overflow half precision.
                    nn.init.constant_(module.bn3.weight, 0.25)
            _spread_classes(network.eval(), torch.randn(1, 3, 64, 64))
        return network


@torch.no_grad()
def _spread_classes(network: nn.Module, sample: torch.Tensor) -> None:
    """Let each class win somewhere: untrained, all are as good as equal everywhere, and a mask would show nothing."""
    logits = network(sample)["out"]
    mean = logits.mean(dim=(0, 2, 3))
    factor = _SEEDED_LOGITS_DEVIATION / (logits - mean[:, None, None]).std()
    last = [
        module for module in network.modules() if isinstance(module, nn.Conv2d) and module.out_channels == len(mean)
    ]
    for conv in last:
        conv.weight *= factor
        conv.bias *= factor
    last[0].bias -= mean * factor
