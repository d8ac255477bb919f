"""An exported network predicts what the original predicts."""

import importlib.util
import json

import numpy as np
import pytest
import torch

from segnb.cli import main
from segnb.data.reading import squeezed
from segnb.labels import STREET
from segnb.models.build import build
from segnb.prediction import Probabilities, write_onnx
from tests.data.broken_files import has_remedy

from .conftest import SIZE, photograph


def test_an_exported_run_predicts_the_same_image_the_same(run, network, tmp_path, capsys):
    onnx, reference = pytest.importorskip("onnx"), pytest.importorskip("onnx.reference")
    pytest.importorskip("onnxscript")
    file = tmp_path / "model.onnx"
    assert main(["export-model", str(run.path), str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and out.startswith(f"{file}: U-Net, seed 0, ") and err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    images = np.stack([squeezed(photograph(*size), SIZE) for size in ((90, 50), (64, 64), (30, 80))])
    (probabilities,) = reference.ReferenceEvaluator(str(file)).run(None, {"images": images})
    for image, exported in zip(images, probabilities, strict=True):
        np.testing.assert_allclose(exported, network.probabilities(image), atol=2e-4)
        assert (exported.argmax(0) == network(image)).mean() > 0.999
    facts = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert facts["run"] == f"{run.study.name}/{run.variant}/seed0"
    assert json.loads(facts["classes"]) == list(STREET.names)


def test_an_fcn_is_exported_with_its_upsampling(tmp_path):
    reference = pytest.importorskip("onnx.reference")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model = build("FCN8s_vgg16_freeze", classes=3, width=1).eval()
    for name, parameter in model.named_parameters():
        if "score" in name:  # zero at first
            torch.nn.init.normal_(parameter, std=0.3)
    images = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    write_onnx(model, 32, {}, tmp_path / "model.onnx")
    (exported,) = reference.ReferenceEvaluator(str(tmp_path / "model.onnx")).run(
        None, {"images": images.numpy()}
    )
    with torch.inference_mode():
        expected = Probabilities(model)(images).numpy()
    np.testing.assert_allclose(exported, expected, atol=1e-3)
    assert expected.std(axis=(2, 3)).max() > 0.01  # not the same everywhere


@pytest.mark.parametrize(
    ("name", "installed", "words"),
    [
        ("model.pt", True, "model.pt: unknown format (expected a name that ends in .onnx)"),
        ("model.onnx", False, "missing packages onnx and onnxscript. Run"),
    ],
)
def test_what_cannot_be_exported_is_refused(run, tmp_path, monkeypatch, capsys, name, installed, words):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: installed or None)
    assert main(["export-model", str(run.path), str(tmp_path / name)]) == 1
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1 and has_remedy(err.strip()) and not list(tmp_path.iterdir())
