"""torchvision's networks from a file that has the names and shapes of its published weights."""

import importlib
from pathlib import Path

import pytest
import torch
from torch import nn

from segtriton_server.vision.errors import NetworkFileError
from segtriton_server.vision.gpu.networks import GPU_NETWORKS
from segtriton_server.vision.networks.torchvision_network import TorchvisionNetwork


def definition_of(name: str) -> TorchvisionNetwork:
    definition: TorchvisionNetwork = importlib.import_module(f"segtriton_server.vision.networks.{name}").NETWORK
    return definition


def save_weights(definition: TorchvisionNetwork, path: Path) -> nn.Module:
    """Write a file as torchvision publishes it; return the module that it is of."""
    torch.manual_seed(3)
    module = definition.build()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):  # as they are after training
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    torch.save(module.state_dict(), path)
    return module.eval()


@pytest.mark.parametrize("name", GPU_NETWORKS)
def test_the_network_is_that_of_its_file(tmp_path: Path, name: str) -> None:
    definition = definition_of(name)
    module = save_weights(definition, tmp_path / definition.weights_file)
    picture = torch.rand(1, 3, 64, 64)

    loaded = definition.load(tmp_path, "")

    with torch.inference_mode():
        torch.testing.assert_close(loaded(picture)["out"], module(picture)["out"])
    assert loaded.aux_classifier is None


def test_another_network_s_file_is_refused(tmp_path: Path) -> None:
    wanted = definition_of("deeplabv3_resnet50")
    save_weights(definition_of("lraspp_mobilenet_v3_large"), tmp_path / wanted.weights_file)

    with pytest.raises(NetworkFileError, match="does not hold the weights of deeplabv3_resnet50"):
        wanted.load(tmp_path, "")


def test_a_missing_file_names_the_way_without(tmp_path: Path) -> None:
    with pytest.raises(NetworkFileError, match="seeded"):
        definition_of("fcn_resnet101").load(tmp_path, "")
