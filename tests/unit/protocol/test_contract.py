"""What `config.pbtxt` declares is what the protocol says, and nothing else lies in the model repository."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as config_pb2

from segtriton_protocol.tensors import FRAMES, MODELS, STREAMING, TensorSpec
from segtriton_server.launch.model_folders import write_model_folders

REPOSITORY = Path(__file__).parents[3] / "triton_models"
CONFIGS = sorted(REPOSITORY.glob("*/config.pbtxt"))


def read_config(path: Path) -> config_pb2.ModelConfig:
    return text_format.Parse(path.read_text(), config_pb2.ModelConfig())


def spec_of(tensor: config_pb2.ModelInput | config_pb2.ModelOutput) -> TensorSpec:
    data_type = config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    optional = isinstance(tensor, config_pb2.ModelInput) and tensor.optional
    return TensorSpec(tensor.name, data_type, tuple(tensor.dims), optional)  # type: ignore[arg-type]


@pytest.mark.parametrize("network", ["colors", "my-net_2"])
def test_the_models_of_an_added_network_declare_the_same(tmp_path: Path, network: str) -> None:
    folders = write_model_folders(tmp_path, network, {"batch_size": 8})

    for folder, spec, like in zip(folders, (FRAMES, STREAMING), ("selfie", "selfie_streaming"), strict=True):
        config, known = read_config(folder / "config.pbtxt"), read_config(REPOSITORY / like / "config.pbtxt")
        assert [spec_of(tensor) for tensor in config.input] == list(spec.inputs)
        assert {key: value.string_value for key, value in config.parameters.items()} == {
            "network": network,
            "batch_size": "8",
        }
        for config_of in (config, known):
            config_of.ClearField("parameters")
            config_of.ClearField("name")
        assert config == known
        assert (folder / "1" / "model.py").read_text() == (REPOSITORY / like / "1" / "model.py").read_text()
    assert [folder.name for folder in folders] == [network, f"{network}_streaming"]


def test_every_folder_is_a_model_of_the_protocol() -> None:
    folders = {path.name for path in REPOSITORY.iterdir() if path.is_dir()}

    assert folders
    assert folders <= MODELS.keys()
    assert {path.parent.name for path in CONFIGS} == folders


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_the_config_declares_what_the_protocol_says(path: Path) -> None:
    config = read_config(path)
    spec = MODELS[path.parent.name]

    assert config.name == path.parent.name
    assert [spec_of(tensor) for tensor in config.input] == list(spec.inputs)
    assert [spec_of(tensor) for tensor in config.output] == list(spec.outputs)
    assert config.model_transaction_policy.decoupled == spec.decoupled
    assert config.max_batch_size == spec.max_batch_size


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_the_adapter_stays_an_adapter(path: Path) -> None:
    assert len((path.parent / "1" / "model.py").read_text().splitlines()) < 80
