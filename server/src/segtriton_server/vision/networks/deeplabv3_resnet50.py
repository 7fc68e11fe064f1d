"""DeepLabv3 with a ResNet-50 backbone (Chen et al., "Rethinking Atrous Convolution", 2017)."""

from torchvision.models.segmentation import deeplabv3_resnet50

from segtriton_server.vision.networks.torchvision_network import TorchvisionNetwork

NETWORK = TorchvisionNetwork(
    name="deeplabv3_resnet50",
    build=lambda: deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True),
    weights_file="deeplabv3_resnet50_coco-cd0a2569.pth",
)
