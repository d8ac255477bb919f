"""`segnb predict`: what it writes, what it prints, and what it refuses."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnb.cli import main
from segnb.data import layouts
from segnb.data.masks import read_coding
from segnb.data.reading import read_labels
from segnb.labels import STREET
from segnb.prediction import Network, files
from segnb.storage.files import read_json, write_json
from tests.data.broken_files import BROKEN, NOISE, encoded, has_remedy
from tests.data.test_pictures import ACCEPTED, REFUSED
from tests.prediction.conftest import network, photograph, run, trained

assert network and run and trained  # fixtures
OUT = Path("out")  # in the working directory


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two photographs, the second in a folder below, in the working directory, with files of other kinds."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    photograph(90, 50).save(folder / "a.b.jpg")
    photograph(40, 70).save(folder / "trip" / "c.png")
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_text("no image")
    return folder


@pytest.fixture
def predict(run, capsys):
    """Run the command; return its exit code, what it prints, and its lines on stderr."""

    def call(*arguments, name: str = "latest"):
        code = main(["predict", name, *map(str, arguments)])
        out, err = capsys.readouterr()
        lines = err.splitlines()
        assert all(line.startswith("segnb: ") and has_remedy(line) for line in lines)
        return code, out, lines

    return call


def written(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_masks_confidence_and_overlays_of_the_size_of_each_image(predict, network, photos):
    assert predict("photos", "--out", "out")[::2] == (0, [])
    kinds = (("masks", ".png"), ("confidence", ".png"), ("overlays", ".jpg"))
    results = {f"{kind}/{name}{end}" for kind, end in kinds for name in ("a.b", "trip/c")}
    assert written(OUT) == results | {"classes.csv", "predictions.json"}
    for name, file in (("a.b", "a.b.jpg"), ("trip/c", "trip/c.png")):
        classes, confidence = network.segment(photos / file)
        mask, sure = (Image.open(OUT / kind / f"{name}.png") for kind in ("masks", "confidence"))
        assert mask.mode == sure.mode == "L"
        assert (np.array(mask) == classes).all() and (np.array(sure) == confidence).all()
        with (
            Image.open(photos / file) as picture,
            Image.open(OUT / f"overlays/{name}.jpg") as overlay,
        ):
            expected = (np.array(picture.convert("RGB")) + 1.0 * STREET.paint(classes)) / 2
            assert overlay.size == picture.size
            assert np.abs(np.array(overlay) - expected).mean() < 12  # JPEG


def test_it_prints_each_folder_and_the_classes_with_their_colours(predict, network, photos):
    _, out, _ = predict("photos", "--out", "out")
    lines = out.splitlines()
    assert lines[0].startswith("U-Net, seed 0, of study quick-streets-00000000; input 64×64 pixels")
    assert lines[1:3] == ["photos: 1 image", "photos/trip: 1 image"]
    masks = np.concatenate([network(photos / name).ravel() for name in ("a.b.jpg", "trip/c.png")])
    for i, line in zip(STREET.seen(masks), lines[3:-1], strict=True):
        share = f"{(masks == i).mean():.1%}"
        assert line.split(maxsplit=3) == [str(i), STREET.colours[i], share, STREET.names[i]]
    assert lines[-1] == "out: masks, confidence and overlays; classes.csv has all classes"


def test_masks_and_images_are_a_data_folder(predict, network, photos):
    predict("photos", "--out", "out", "--colours")
    shutil.copytree(photos, OUT / "images")
    listing = layouts.look(OUT.resolve())
    assert listing.layout.name == "plain" and listing.coding.classes == STREET and len(listing.pairs) == 2
    for key, mask in listing.labels.items():
        classes = network(listing.images[key])
        coloured = OUT / "colours" / mask.relative_to(OUT.resolve() / "masks")
        for file in (mask, coloured):
            assert (read_labels(file, read_coding(OUT / "classes.csv")) == classes).all()


def test_a_file_is_named_without_its_folder_and_predicted_once(predict, photos):
    code, out, _ = predict("photos/trip/c.png", "photos/trip", "photos/trip/../trip/c.png", "--out", "out")
    assert code == 0 and "photos/trip: 1 image\n" in out
    assert (OUT / "masks/c.png").exists() and not (OUT / "masks/trip").exists()


@pytest.fixture
def segmented(monkeypatch) -> list[tuple[int, int]]:
    """Return a list that gets the size of each image that a network predicts."""
    sizes, segment = [], Network.segment
    monkeypatch.setattr(
        Network, "segment", lambda net, image: sizes.append(image.size) or segment(net, image)
    )
    return sizes


def test_a_second_call_repairs_results_and_does_not_read_its_own(predict, photos, segmented):
    predict(".", "--out", "out")
    before = written(OUT)
    (OUT / "masks/photos/trip/c.png").write_bytes(b"")
    (OUT / "overlays/photos/a.b.jpg").unlink()
    assert predict(".", "--out", "out")[0] == 0
    assert written(OUT) == before and len(segmented) == 4
    assert Image.open(OUT / "masks/photos/trip/c.png").size == (40, 70)


def test_an_interrupted_call_resumes_at_the_first_image_that_is_not_complete(
    predict, photos, segmented, monkeypatch
):
    photograph(20, 20).save(photos / "trip" / "d.png")
    written_at_once = predict("photos", "--out", "whole")[1].replace("whole:", "out:")
    segmented.clear()
    save, left = files.save_png, iter(range(2))  # mask and confidence of the first image

    def interrupted(*args):
        save(*args)
        if next(left, None) is None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "save_png", interrupted)
        assert predict("photos", "--out", "out")[0] == 130
    assert segmented == [(90, 50), (40, 70)]
    interrupted_at = {path: path.stat().st_mtime_ns for path in OUT.rglob("a.b.*")}
    segmented.clear()
    code, out, _ = predict("photos", "--out", "out")
    assert code == 0 and segmented == [(40, 70), (20, 20)]
    assert "photos: 1 image (1 predicted earlier)\nphotos/trip: 2 images\n" in out
    assert out.replace(" (1 predicted earlier)", "") == written_at_once  # also the share of each class
    assert interrupted_at == {path: path.stat().st_mtime_ns for path in OUT.rglob("a.b.*")}
    assert {name: (OUT / name).read_bytes() for name in written(OUT)} == {
        name: Path("whole", name).read_bytes() for name in written(Path("whole"))
    }
    segmented.clear()
    out = predict("photos", "--out", "out")[1]
    assert segmented == [] and "photos/trip: 2 images (2 predicted earlier)\n" in out


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_kill_within_a_file_leaves_no_part_of_it_under_its_name(
    predict, photos, segmented, monkeypatch, kind
):
    save = Image.Image.save

    def killed(image, part, **how):
        save(image, part, **how)
        if image.size == (40, 70) and how["format"] == kind:
            os.truncate(part, 20)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", killed)
        assert predict("photos", "--out", "out", "--colours")[0] == 130
    results = [OUT / name for name in written(OUT) if not name.endswith((".csv", ".json"))]
    assert len([path for path in results if path.stem == "a.b"]) == 4
    for path in results:
        Image.open(path).load()
    segmented.clear()
    assert predict("photos", "--out", "out", "--colours")[0] == 0 and segmented == [(40, 70)]


def test_an_image_is_predicted_again_if_image_network_or_options_have_changed(predict, photos, segmented):
    def again(*options) -> list[tuple[int, int]]:
        segmented.clear()
        predict("photos", "--out", "out", *options)
        return list(segmented)

    assert len(again()) == 2 and again() == []
    old = photos / "a.b.jpg"
    moment = old.stat().st_mtime_ns
    photograph(91, 50).save(old)
    os.utime(old, ns=(moment, moment))  # as copied files may have any time
    assert again() == [(91, 50)]
    assert len(again("--colours")) == 2 and again("--colours") == []


@pytest.mark.parametrize("stored", [True, False], ids=["older", "this version"])
def test_a_corrected_mask_stays_after_an_update_of_segnb(predict, photos, monkeypatch, stored):
    facts = files._facts
    with monkeypatch.context() as patch:
        patch.setattr(files, "__version__", "0.0.1")
        if stored:  # as older versions did
            patch.setattr(files, "_facts", lambda *args: facts(*args) | {"segnb": "0.0.1"})
        predict("photos", "--out", "out")
    assert read_json(OUT / "predictions.json")["segnb"] == "0.0.1"
    mask = OUT / "masks/a.b.png"
    Image.new("L", (90, 50), 255).save(mask)
    corrected = mask.read_bytes()
    assert "photos: 1 image (1 predicted earlier)" in predict("photos", "--out", "out")[1]
    assert mask.read_bytes() == corrected
    (OUT / "confidence/a.b.png").unlink()
    predict("photos", "--out", "out")
    assert mask.read_bytes() != corrected


def test_each_broken_file_is_one_line_and_all_others_are_predicted(predict, photos):
    cases = sorted(REFUSED | ACCEPTED)
    for i, case in enumerate(cases):
        (photos / f"{i}.png").write_bytes(encoded(NOISE))
        BROKEN[case].make(photos / f"{i}.png")
    code, out, lines = predict("photos", "--out", "out")
    refused = {f"{i}.png" for i, case in enumerate(cases) if case in REFUSED and not case.endswith("folder")}
    assert code == 1 and {line.removeprefix("segnb: photos/").partition(":")[0] for line in lines} == refused
    assert len(lines) == len(refused) and f"photos: {1 + len(ACCEPTED)} images\n" in out
    accepted = {f"{i}.png" for i, case in enumerate(cases) if case in ACCEPTED}
    assert written(OUT / "masks") == {"a.b.png", "trip/c.png"} | accepted
    assert not [name for name in written(OUT) if "/." in name]


def test_wrong_inputs_are_one_line_each_and_the_others_are_predicted(predict, photos, tmp_path):
    (tmp_path / "empty" / "below").mkdir(parents=True)
    photograph(9, 9).save(photos / "A.b.png")
    (photos / "text.jpg").write_text("hello")
    code, out, lines = predict("photos", "empty", "gone.png", "--out", "out")
    assert code == 1 and "photos: 1 image\nphotos/trip: 1 image\n" in out
    assert [line.removeprefix("segnb: ") for line in lines] == [
        "photos/a.b.jpg: same name as photos/A.b.png (expected one image per name). Rename one of them, or"
        " choose another output folder for it.",
        "empty: contains no images (expected .png, .jpg, .jpeg). Choose another folder.",
        "photos/text.jpg: not a PNG or JPEG file. Choose another file.",
        "gone.png: cannot be read (No such file or directory). Fix or remove it.",
    ]


def test_folders_with_names_of_images_are_folders(predict, photos):
    for name in ("IMG.jpg/z.png", "b.jpg", "b.PNG/in.jpg"):
        (photos / name).parent.mkdir(exist_ok=True)
        photograph(9, 9).save(photos / name)
    code, _, lines = predict("photos", "--out", "out")
    assert code == 1 and len(lines) == 1 and "photos/b.PNG/in.jpg: its folder has the name" in lines[0]
    assert written(OUT / "masks") == {"a.b.png", "b.png", "trip/c.png", "IMG.jpg/z.png"}


def test_a_name_that_is_too_long_for_the_results_is_refused(predict, photos):
    photograph(9, 9).save(photos / f"{'x' * 237}.png")
    photograph(9, 9).save(photos / f"{'y' * 236}.png")
    code, _, lines = predict("photos", "--out", "out")
    assert code == 1 and len(lines) == 1 and "name too long (expected at most 240 bytes). Rename" in lines[0]
    assert (OUT / "masks" / f"{'y' * 236}.png").exists()


@pytest.mark.parametrize("given", ["out", "out/masks", "out/overlays/a.b.jpg"])
def test_results_are_no_inputs(predict, photos, given):
    predict("photos", "--out", "out")
    code, _, lines = predict(given, "--out", "out")
    assert code == 1 and len(lines) == 1 and f"{given}: in the output folder" in lines[0]


def test_without_an_image_nothing_is_written(predict, photos):
    code, out, lines = predict("photos/notes.txt", "--out", "out")
    assert code == 1 and len(lines) == 1 and "photos/notes.txt: not a PNG or JPEG" in lines[0]
    assert not OUT.exists()


def test_another_folder_is_not_written_to(predict, photos):
    code, _, lines = predict("photos", "--out", "photos/trip")
    assert code == 1 and "photos/trip: not empty (expected a new folder, or predictions of" in lines[0]
    code, _, lines = predict("photos", "--out", "photos/notes.txt")
    assert code == 1 and "photos/notes.txt" in lines[0]
    OUT.mkdir()
    assert predict("photos", "--out", "out")[0] == 0  # empty
    record = OUT / "predictions.json"
    write_json(record, read_json(record) | {"model_sha256": "0" * 64, "run": "another/run"})
    code, _, lines = predict("photos", "--out", "out")
    assert code == 1 and "out: contains predictions of another network, another/run. Choose" in lines[0]
    record.write_text("{")
    code, _, lines = predict("photos", "--out", "out")
    assert code == 1 and "out/predictions.json: damaged. Remove the folder, or choose another" in lines[0]


def test_an_unknown_run_is_refused_before_anything_is_read(predict, photos):
    code, out, lines = predict("photos", "--out", "out", name="UNet_Standard_256")
    assert (code, out, len(lines)) == (1, "", 1) and "unknown run 'UNet_Standard_256'" in lines[0]
    assert not OUT.exists()
