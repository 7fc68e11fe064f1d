"""FCN with a ResNet-101 backbone (Long, Shelhamer and Darrell, "Fully Convolutional Networks", 2015)."""

from torchvision.models.segmentation import fcn_resnet101

from segtriton_server.vision.networks.torchvision_network import TorchvisionNetwork

NETWORK = TorchvisionNetwork(
    name="fcn_resnet101",
    build=lambda: fcn_resnet101(weights=None, weights_backbone=None, num_classes=21, aux_loss=True),
    weights_file="fcn_resnet101_coco-7ecb50ca.pth",
)
