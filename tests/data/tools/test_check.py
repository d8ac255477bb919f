"""segnb.data.tools.check: every fault is found and graded, and valid data have none.

Broken files are in test_bad_input.
"""

import io
import json
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from segnb.cli.__main__ import main
from segnb.data import reading
from segnb.data.masks import STREET_CODING
from segnb.data.tools import check, check_report
from segnb.labels import CAMVID, IGNORE_INDEX, STREET
from tests.data.broken_files import has_remedy

from .conftest import BILINEAR, NEAREST, SHARED, add, image, labels, mask, picture, save, soften, state


def kinds(report: check_report.Report) -> dict[str, int]:
    return dict(Counter(one.kind for one in report.findings))


# ---- masks with values between values ---------------------------------------------------------------


def test_soft_share_counts_boundaries_that_pass_through_something():
    rows = [[2, 2, 9, 9]] * 50 + [[2, 5, 9, 9]] * 25 + [[2, 6, 9, 9]] * 25
    values = np.array(rows, np.uint8)
    # 100 boundaries along rows, half of them soft; of the columns only 2 | 5 within 9s and 2s climbs by two.
    assert check.soft_share(values) == 50 / 101
    assert check.soft_share(values[:, ::-1]) == check.soft_share(values.T) == check.soft_share(values)


def test_hard_boundaries_have_no_soft_share():
    assert check.soft_share(np.array([[2, 2, 9, 9], [9, 9, 0, 0]] * 50, np.uint8)) == 0


def test_a_strip_that_is_no_climb_is_not_soft():
    # Between 2 and 9, but 11 and 0 are beyond them; a plateau two pixels wide is a class of its own.
    rows = np.array([[2, 11, 9, 9], [2, 0, 9, 9], [2, 5, 5, 9], [2, 6, 6, 9]], np.uint8)
    assert check.soft_share(rows.repeat(30, axis=0)) == 0


def test_one_value_in_between_may_be_a_drawn_line():
    assert check.soft_share(np.array([[0, 1, 2, 2]] * 100, np.uint8)) == 0


def test_few_boundaries_say_nothing():
    rows = np.array([[2, 5, 9], [2, 6, 9]] * 12, np.uint8)
    assert check.soft_share(rows) == 0
    assert check.soft_share(np.tile(rows, (3, 1))) > 0.5


def real_masks(every: int) -> list[Image.Image]:
    if not SHARED.is_dir():
        pytest.skip("no shared data")
    files = [*SHARED.glob("camvid/*annot/*.png"), *SHARED.glob("carla_mini/**/labels/*.png")]
    files = [*sorted(files)[::every], *SHARED.glob("lyft_raw/**/CameraSeg/*.png")]
    return [Image.open(file) for file in files]


@pytest.mark.parametrize("scale", [1, 0.5, 0.71, 1.3])
def test_real_masks_are_hard_resized_by_nearest_neighbour_and_soft_otherwise(scale):
    for real in real_masks(every=40):
        ids = real.getchannel(0)
        size = [round(scale * side) for side in ids.size]
        assert check.soft_share(np.asarray(ids.resize(size, NEAREST))) < check.SOFT / 2
        if scale != 1:
            for how in (BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
                assert check.soft_share(np.asarray(ids.resize(size, how))) > 2 * check.SOFT


def in_colours(ids: np.ndarray) -> np.ndarray:
    """Return ids in CARLA's colours, uint8 (H, W, 3)."""
    palette = np.zeros((len(STREET), 3), np.uint8)
    for colour, one in STREET_CODING.colours.items():
        palette[one] = colour
    return palette[ids]


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_colour_masks_with_soft_edges_differ_from_hard_ones(mode):
    for seed in range(3):
        hard = Image.fromarray(in_colours(mask(seed, 180, 240)))
        soft = hard.resize((200, 150), BILINEAR)
        if mode == "P":
            hard, soft = hard.quantize(16), soft.quantize(256)
        assert max(map(check.soft_share, check.stored(hard))) < check.SOFT / 2
        assert max(map(check.soft_share, check.stored(soft))) > 2 * check.SOFT


# ---- images that are nearly the same --------------------------------------------------------------


def test_difference_hash_of_a_ramp():
    across = np.repeat(np.arange(0, 252, 28, np.uint8)[None], 9, 0)
    right, down = np.unpackbits(check.difference_hash(Image.fromarray(across)).view(np.uint8)).reshape(2, 64)
    assert right.all() and not down.any()
    right, down = np.unpackbits(check.difference_hash(Image.fromarray(across.T)).view(np.uint8)).reshape(
        2, 64
    )
    assert down.all() and not right.any()


def test_nearest_by_hand():
    one = np.uint64(1)
    hashes = np.zeros((5, 2), np.uint64)
    hashes[1, 0] = (one << np.uint64(check.NEAR)) - one  # as many bits from the first as may be
    hashes[2, 1] = (one << np.uint64(check.NEAR + 1)) - one  # one too many
    hashes[3] = hashes[0]
    hashes[4] = hashes[1]
    other, own = check.nearest(hashes, np.array([0, 1, 2, 0, 4]), np.array([0, 0, 0, 1, 1]))
    # The third is near none; the fourth is the first again to the last pixel, and near the second.
    np.testing.assert_array_equal(own, [-1, 0, -1, -1, 3])
    np.testing.assert_array_equal(other, [-1, -1, -1, 1, 1])


def test_nearest_equals_comparing_one_by_one():
    draw = np.random.default_rng(0)
    count = 3 * check.ROWS + 5
    centres = draw.integers(0, 2**64, (6, 2), np.uint64)
    hashes = centres[draw.integers(0, 6, count)]
    for row in hashes:  # up to 20 bits turned
        for bit in draw.integers(0, 128, draw.integers(0, 20)):
            row[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    contents, ranks = draw.integers(0, count, count), np.sort(draw.integers(0, 3, count))
    other, own = check.nearest(hashes, contents, ranks)
    for i in range(count):
        apart = [int(np.bitwise_count(hashes[i] ^ hashes[j]).sum()) for j in range(i)]
        for found, same in ((own, True), (other, False)):
            fit = [
                (apart[j], j)
                for j in range(i)
                if apart[j] <= check.NEAR and contents[i] != contents[j] and (ranks[i] == ranks[j]) == same
            ]
            assert found[i] == (min(fit)[1] if fit else -1)
    assert (own >= 0).sum() > 5 and (other >= 0).sum() > 5


def as_jpeg(photo: Image.Image) -> Image.Image:
    stored = io.BytesIO()
    photo.save(stored, "JPEG", quality=30)
    return Image.open(stored).convert("RGB")


def test_a_photograph_saved_again_is_near_itself_and_far_from_other_drives():
    files = sorted((SHARED / "camvid").glob("train/*.png"))[::15]
    if not files:
        pytest.skip("no shared CamVid")
    photos = [Image.open(file) for file in files]
    hashes = np.array([check.difference_hash(photo) for photo in photos])
    edits = (
        as_jpeg,
        lambda photo: photo.resize((photo.width // 2, photo.height // 2), BILINEAR),
        lambda photo: photo.resize((224, 224), BILINEAR),
        lambda photo: ImageEnhance.Brightness(photo).enhance(1.1),
    )
    for photo, own in zip(photos, hashes, strict=True):
        for edit in edits:
            assert np.bitwise_count(check.difference_hash(edit(photo)) ^ own).sum() <= check.NEAR
    apart = np.bitwise_count(hashes[:, None] ^ hashes).sum(-1)
    drives = np.array([file.name[:6] for file in files])
    assert apart[drives[:, None] != drives].min() > 2 * check.NEAR


# ---- sound data -------------------------------------------------------------------------------------


def test_counts_are_those_of_the_files(data):
    report = check.look(str(data))
    assert report.sound and not report.findings
    assert {split: one.pairs for split, one in report.counts.items()} == {"train": 8, "val": 2, "test": 3}
    maps = [np.asarray(Image.open(pair.label)) for pair in report.pairs["train"]]
    pixels, pictures = report.counts["train"].pixels, report.counts["train"].pictures
    assert pixels.sum() == 8 * 36 * 48
    for one in range(13):
        assert pixels[one] == sum((ids == one).sum() for ids in maps)
        assert pictures[one] == sum((ids == one).any() for ids in maps)
    assert report.counts["test"].sizes == {(48, 36): 3}
    assert report.digest == reading.digest(report.pairs)


def test_json_has_all_of_it(data):
    record = json.loads(check.look(str(data)).json())
    assert record["schema"] == 1 and record["layout"] == "study" and record["path"] == str(data)
    assert record["errors"] == record["warnings"] == 0 and record["findings"] == []
    assert record["classes"]["names"] == list(STREET.names) and len(record["digest"]) == 16
    train = record["splits"]["train"]
    assert train["pairs"] == 8 and train["sizes"] == {"48×36": 8}
    assert sum(one["share"] for one in train["classes"].values()) == pytest.approx(1)
    assert sum(one["pixels"] for one in train["classes"].values()) == 8 * 36 * 48
    assert train["void"] == {"pixels": 0, "share": 0.0, "pictures": 0}


def test_void_is_no_class(tmp_path):
    for split, names in (("train", "abc"), ("val", "de")):
        for i, name in enumerate(names):
            save(picture(i + len(split)), tmp_path / split / f"{name}.png")
            save(np.full((36, 48), 11, np.uint8), path := tmp_path / f"{split}annot" / f"{name}.png")
            half = np.array(Image.open(path))
            half[:18] = 3
            save(half, path)
    report = check.look(str(tmp_path))
    train = json.loads(report.json())["splits"]["train"]
    void, road = train["void"], train["classes"]["Road"]
    assert void == {"pixels": 2 * 18 * 48, "share": 0.5, "pictures": 2}
    assert road == {"pixels": 2 * 18 * 48, "share": 1.0, "pictures": 2}
    assert "void (% of all)" in report.table()
    assert kinds(report) == {"empty-class": len(CAMVID) - 1} and report.sound


def test_each_file_is_decoded_once(data, monkeypatch):
    opened, decode = Counter(), reading.decode
    monkeypatch.setattr(reading, "decode", lambda path, *rest: opened.update([path]) or decode(path, *rest))
    check.look(str(data))
    assert set(opened.values()) == {1} and len(opened) == 26


def test_nothing_is_changed(data):
    labels(data).write_bytes(b"")
    before = state(data)
    check.look(str(data))
    assert state(data) == before


def test_a_layout_can_be_named(drives):
    report = check.look(f"lyft:{drives}")
    assert report.sound
    assert {split: one.pairs for split, one in report.counts.items()} == {"train": 12, "val": 4, "test": 4}


def test_real_data_are_sound():
    if not SHARED.is_dir():
        pytest.skip("no shared data")
    for name in ("carla_mini", "lyft_raw"):
        assert check.look(str(SHARED / name)).sound


# ---- faults -----------------------------------------------------------------------------------------


FAULTS = {  # {fault: (how to make it, the kind of its finding, the first file)}
    "labels are gone": (lambda d: labels(d).unlink(), "no-partner", image),
    "the image is gone": (lambda d: image(d).unlink(), "no-partner", labels),
    "two images of a name": (
        lambda d: Image.open(image(d)).save(image(d).with_suffix(".jpg")),
        "same-name",
        image,
    ),
    "soft labels": (lambda d: soften(labels(d)), "interpolated", labels),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_named(data, fault):
    spoil, kind, file = FAULTS[fault]
    spoil(data)
    report = check.look(str(data))
    errors = report.of("error")
    assert [one.kind for one in errors] == [kind] and not report.sound
    # Pillow sorts 0003.jpg before 0003.png, so that the PNG is the one too many.
    assert errors[0].files[0] == str(file(data)) and errors[0].message.startswith(f"{file(data)}: ")
    assert has_remedy(errors[0].message) and "\n" not in errors[0].message
    assert json.loads(report.json())["errors"] == 1


def test_all_faults_are_found_in_one_go(data):
    image(data, "0000").write_bytes(b"")
    labels(data, "0001").unlink()
    save(mask(3) + np.uint8(1), labels(data, "0003"))
    save(mask(4, 18, 24), labels(data, "0004"))
    report = check.look(str(data))
    found = kinds(report)
    assert [found.get(kind) for kind in ("unreadable", "no-partner", "unknown-ids", "size-differs")] == [
        1
    ] * 4
    assert [one.kind for one in report.findings] == sorted(found, key=list(check_report.KINDS).index)


def test_too_few_pairs_for_a_split_are_counted_all_the_same(tmp_path):
    add(tmp_path / "train", "0000", 0)
    add(tmp_path / "test", "0001", 1)
    report = check.look(str(tmp_path))
    assert [one.kind for one in report.of("error")] == ["no-split"]
    assert list(report.counts) == ["all"] and report.counts["all"].pixels.sum() == 2 * 36 * 48
    assert all(len(line) <= 80 for line in report.table(80).splitlines() if str(tmp_path) not in line)


def test_a_class_that_a_split_does_not_show(data):
    for path in (data / "test" / "labels").iterdir():
        ids = np.array(Image.open(path))
        ids[ids == STREET.id("Wall")] = STREET.id("Building")
        save(ids, path)
    (found,) = check.look(str(data)).findings
    assert found.kind == "empty-class" and found.severity == "warning"
    assert found.message.startswith("Wall: no pixel in test (expected some in each split). Add images")


def test_a_mask_without_a_label(data):
    rows = [f"{i},{name}" for i, name in enumerate(STREET.names)] + [f"{IGNORE_INDEX},void"]
    (data / "classes.csv").write_text("id,name\n" + "\n".join(rows))
    save(np.full((36, 48), IGNORE_INDEX, np.uint8), labels(data))
    report = check.look(str(data))
    assert kinds(report) == {"no-labels": 1} and report.sound
    assert report.findings[0].files == (str(labels(data)),)
    for path in (data / "test" / "labels").iterdir():
        save(np.full((36, 48), IGNORE_INDEX, np.uint8), path)
    report = check.look(str(data))
    (found,) = [one for one in report.findings if one.severity == "error"]
    assert found.kind == "no-split" and "every pixel of test is void" in found.message


def test_images_of_two_sizes(data):
    save(picture(3, 72, 96), image(data))
    save(mask(3, 72, 96), labels(data))
    report = check.look(str(data))
    assert kinds(report) == {"many-sizes": 1} and "48×36 (12), 96×72 (1)" in report.findings[0].message


# ---- leaks ------------------------------------------------------------------------------------------


def split_of(report: check_report.Report, name: str) -> str:
    return next(split for split, pairs in report.pairs.items() if name in [pair.name for pair in pairs])


def test_a_picture_in_training_and_test_is_an_error(data):
    # Stored otherwise, the same to the last pixel.
    Image.open(image(data, "0011", "test")).save(image(data, "0003"), compress_level=0)
    report = check.look(str(data))
    (found,) = report.findings
    assert found.kind == "leaked" and found.severity == "error" and not report.sound
    assert found.files == (str(image(data, "0003")), str(image(data, "0011", "test")))
    assert split_of(report, "0003") == "train" and "--by blocks" in found.message


def test_a_picture_in_training_and_validation_is_an_error(data):
    pairs = check.look(str(data)).pairs
    shutil.copy(pairs["val"][0].image, pairs["train"][0].image)
    assert kinds(check.look(str(data))) == {"leaked": 1}


def test_nearly_the_same_picture_on_both_sides_is_a_warning(data):
    as_jpeg(Image.open(image(data, "0011", "test"))).save(image(data, "0003"))
    report = check.look(str(data))
    (found,) = report.findings
    assert found.kind == "nearly-leaked" and report.sound
    assert found.files == (str(image(data, "0011", "test")), str(image(data, "0003")))


def test_pictures_twice_in_a_split(data):
    names = [pair.name for pair in check.look(str(data)).pairs["train"]]
    shutil.copy(image(data, names[0]), image(data, names[1]))
    as_jpeg(Image.open(image(data, names[2]))).save(image(data, names[3]))
    report = check.look(str(data))
    assert kinds(report) == {"repeated": 1, "nearly-repeated": 1} and report.sound
    assert report.findings[0].files == (str(image(data, names[0])), str(image(data, names[1])))
    assert report.findings[1].message.startswith("train: 1 of 8 images nearly repeats an earlier one")


# ---- for people -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120])
def test_table_fits_and_shows_a_few_of_each_kind(data, width):
    for i in range(5):
        labels(data, f"{i:04d}").write_text("hello")
    table = check.look(str(data)).table(width)
    assert max(map(len, table.splitlines()[1:])) <= width
    assert "error: unreadable, 5" in table and "… and 2 more" in table
    assert table.count("unknown file format") == check_report.SHOWN
    assert table.splitlines()[-1] == "5 errors and 0 warnings"
    assert str(data) not in "\n".join(table.splitlines()[1:])


def test_table_of_sound_data_says_so(data):
    lines = check.look(str(data)).table().splitlines()
    assert lines[-1] == "no errors and no warnings; read the notes above"
    assert lines[2].startswith("note: Without a classes.csv, masks are read as the 13 classes")
    assert sum(line.startswith(STREET.names) for line in lines) == 13


def test_the_commands_say_what_is_wrong_by_their_code_and_write_copies(data, tmp_path, capsys):
    as_jpeg(Image.open(image(data, "0011", "test"))).save(image(data, "0003"))
    assert main(["data", "check", str(data)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 errors and 1 warning"
    options = ["--size", "32", "--seed", "3", "--by", "names", "--train", "4", "--test", "1"]
    assert main(["data", "prepare", str(data), str(tmp_path / "copy"), *options]) == 0
    record = json.loads((tmp_path / "copy" / "prepared.json").read_text())
    assert (record["size"], record["seed"], record["by"]) == (32, 3, "names")
    assert record["pairs"] == {"train": 4, "val": 2, "test": 1}
    labels(data, "0005").unlink()
    capsys.readouterr()
    assert main(["data", "check", str(data), "--json", "--fix", str(tmp_path / "clean")]) == 1
    assert json.loads(capsys.readouterr().out)["errors"] == 1
    assert (tmp_path / "clean" / "left_out.json").exists()


def test_small_shares_are_not_rounded_away():
    assert [check_report._percent(share) for share in (0, 1e-6, 0.0001, 1)] == [
        "0",
        "<0.01",
        "0.01",
        "100.00",
    ]


def test_names_cannot_command_a_terminal(data):
    data = data.rename(data.with_name("a\nb\x1b[2J\udcff"))
    labels(data).write_bytes(b"")
    report = check.look(str(data))
    (found,) = report.findings
    assert found.files == (str(labels(data)),)  # as it is, for machines
    assert "\n" not in found.message
    assert json.loads(report.json())["findings"][0]["files"] == [str(labels(data))]
    report.table().encode()
    assert "\x1b" not in report.table() and "  train/labels/0003.png: unknown file format" in report.table()
