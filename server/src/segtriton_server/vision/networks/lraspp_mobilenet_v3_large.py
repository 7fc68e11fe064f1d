"""Lite R-ASPP with a MobileNetV3-Large backbone (Howard et al., "Searching for MobileNetV3", 2019)."""

from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from segtriton_server.vision.networks.torchvision_network import TorchvisionNetwork

NETWORK = TorchvisionNetwork(
    name="lraspp_mobilenet_v3_large",
    build=lambda: lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21),
    weights_file="lraspp_mobilenet_v3_large-d234d4ea.pth",
)
