"""First sentences of captions of figures of attention gates; see `findings`."""

import pandas as pd

from segnb.report.figures.findings import names, points, same_signs, sentence


def openness(means: dict[tuple[str, int, str], float]) -> str:
    """Say which map is bright most and which least: {(label, level, image): mean of a map, 0 to 1}."""
    values = pd.Series(
        {f"{label}, level {level}, {image}": mean for (label, level, image), mean in means.items()}
    )
    if (values := values.dropna()).empty:
        return ""
    low, high = (
        f"{value:.2f} ({names(values, value, 2, 'maps')[0]})" for value in (values.min(), values.max())
    )
    if low == high:
        return sentence(f"the mean of the map is {low}")
    return sentence(f"the means of the maps range from {low} to {high}")


def class_contrast(inside: dict[str, float], outside: dict[str, float]) -> str:
    """Say which class gate differs most between its class and the rest: mean values at level 1, 0 to 1."""
    gaps = (pd.Series(inside) - pd.Series(outside)).dropna()
    if gaps.empty:
        return ""
    name = gaps.idxmax()
    if gaps[name] < 0.01:
        return "At level 1, no gate is on average more open on its class than elsewhere."
    return sentence(
        f"at level 1, the gate of {name} has a mean value of {inside[name]:.2f} on the class and"
        f" {outside[name]:.2f} elsewhere" + (", the largest difference" if len(gaps) > 1 else "")
    )


def gate_losses(levels: dict[str, pd.DataFrame]) -> str:
    """Say which gate is worth most and least, and for how many gates all seeds agree.

    levels: {label: frame indexed by level, columns value, by_seed: mIoU lost without the gate}
    """
    cells = pd.concat({label: frame[["value", "by_seed"]] for label, frame in levels.items()})
    losses = cells["value"].dropna()
    if losses.empty:
        return ""
    text = f"the largest loss is {points(losses.max(), '')} points of mIoU ({', '.join(losses.idxmax())})"
    if len(losses) > 1:
        text += f" and the smallest {points(losses.min(), '')} ({', '.join(losses.idxmin())})"
    return sentence("; ".join(filter(None, (text, same_signs(cells["by_seed"], "losses")))))


def largest_drop(scores: dict[str, pd.DataFrame]) -> str:
    """Say under which condition mIoU falls most on average, and by how much for which network.

    scores: {label: frame indexed by condition, the first of them clean, with a column value}
    """
    values = pd.DataFrame({label: frame["value"] for label, frame in scores.items()})
    drops = (values.iloc[0] - values.iloc[1:]).dropna(how="all") if len(values) else values
    if drops.empty:
        return ""
    kind = drops.mean(axis=1).idxmax()
    row = drops.loc[kind].dropna()
    if row.mean() <= 0:
        return "On average, mIoU falls under no condition."
    low, high = (points(value, "") for value in (row.min(), row.max()))
    most = f"{high} points ({names(row, row.max(), 3)[0]})"
    span = most if low == high else f"{low} ({names(row, row.min(), 3)[0]}) to {most}"
    return sentence(f"{kind} costs most: mIoU falls by {span}")
