"""The list of commands: the module of each, its line in `segnb --help`, and examples."""

# {group: {command: (module, what it does)}}. The first sentence of each command's own help is the same.
GROUPS = {
    "Train and report": {
        "report": ("report", "Train what is missing and build the report"),
        "study": ("report", "Create a study and print its name"),
        "run": ("run", "Execute a notebook with checked parameters"),
        "measure": ("evaluate", "Evaluate a finished run on the test images"),
        "cost": ("evaluate", "Measure the time and memory of networks"),
        "export": ("export", "Join executed chapters into one HTML file"),
    },
    "Use a trained network": {
        "predict": ("predict", "Write a trained network's predictions for your own images"),
        "export-model": ("predict", "Write a trained network to an ONNX file"),
    },
    "Look and check": {
        "status": ("status", "Show progress and failures of a study's runs"),
        "claims": ("claims", "Print the verdict on each claim"),
        "verify": ("evaluate", "Repeat a finished run and compare it bit for bit"),
    },
    "Data": {
        "data": ("data", "Download, check or prepare a data set"),
        "arrays": ("data", "Cache the images and masks of a study at one size"),
    },
    "Backbone weights and cache": {
        "weights": ("data", "List, download or verify backbone weights"),
        "cache": ("data", "Show the size of cached features, or remove them"),
    },
}
COMMANDS = {name: module for group in GROUPS.values() for name, (module, _) in group.items()}
SUMMARIES = {name: line for group in GROUPS.values() for name, (_, line) in group.items()}
# Commands below another command.
SUMMARIES |= {
    "claims diff": "Compare the verdicts of two studies",
    "data get": "Download a public data set, or list the available ones",
    "data check": "Check every file of a data folder",
    "data prepare": "Write a data folder again, split and at one size",
}

DESCRIPTION = """\
Test a student's report on semantic segmentation: train its networks, evaluate
them, and build an HTML report with a verdict on each of its claims."""
EXAMPLES = """\
examples:
  segnb report --preset smoke  check in about two minutes that everything works
  segnb report --seeds 0,1,2   train three seeds per network, build the report
  segnb status                 show the progress of the latest study

Run 'segnb COMMAND --help' for the options of a command."""


def overview() -> str:
    """Return what segnb does and its commands by group, one line per command."""
    width = max(map(len, COMMANDS))
    blocks = [DESCRIPTION]
    for title, group in GROUPS.items():
        lines = [f"  {name:<{width}}  {line}" for name, (_, line) in group.items()]
        blocks.append("\n".join([f"{title}:", *lines]))
    return "\n\n".join(blocks)
