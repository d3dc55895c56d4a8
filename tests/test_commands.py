"""The commands of README and docs: each has a form for PowerShell, by the table in docs/install.md or as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "configs").rglob("*.md"))]
COMMAND = re.compile(r"(\w+=\S+ )*(tools/|(bash|python|srtoolbox|source|pip|sbatch|torchrun) )")
# what PowerShell has not, or takes for something else, and what the table calls it
POSIX_ONLY = {
    r"^(\w+=\S+ )+\S": "NAME=value COMMAND",
    r"^\w+=\S+$": "NAME=value",
    r"\S+\.sh\b": None,
    r"^(source|export|cat|cp|mv|rm|ls|for|if|nohup|kill|wget|curl|tar|unzip|sbatch)\b": None,
    r"&&": "A && B",
    r"\\$": "\\ at the end of a line",
    r" < |<\(": None,
    r" \| ": None,
    r"\$\(|\$\{": None,
}


def powershell_forms() -> dict[str, str]:
    """Return the table of docs/install.md, longest first."""
    page = (ROOT / "docs/install.md").read_text("utf-8").partition("| Linux, macOS | PowerShell |")[2]
    rows = {}
    for line in page.splitlines()[2:]:
        if not line.startswith("|"):
            break
        left, right = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:3])
        rows[left.replace("`", "").replace("\\|", "|")] = right
    return dict(sorted(rows.items(), key=lambda row: -len(row[0])))


def commands_of(text: str) -> list[str]:
    """Return the commands of a page: lines of bash blocks, those behind a prompt, and those within a sentence."""
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, flags=re.S) for line in block.splitlines()]
    lines += [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    lines += [code for code in re.findall(r"`([^`\n]+)`", text) if COMMAND.match(code)]
    return [code for line in lines if (code := line.split("  #")[0].strip())]


def without_form(command: str, forms: dict[str, str]) -> list[str]:
    """Return the parts of a command that neither PowerShell nor the table knows."""
    for left, right in forms.items():
        words = left.split(" ")
        if right.startswith("none") and command.startswith(words[0] + " "):
            return []
        command = command.replace(left, "") if right.startswith("`") and left != "NAME=value" else command
    faults = []
    for pattern, name in POSIX_ONLY.items():
        found = re.search(pattern, command)
        if found and name not in forms:
            faults.append(found[0])
    return faults


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_has_a_form_for_powershell(page: Path) -> None:
    text = page.read_text("utf-8")
    if page.name == "install.md":
        text = text.partition("| Linux, macOS | PowerShell |")[0]
    forms = powershell_forms()
    missing = {command: faults for command in commands_of(text) if (faults := without_form(command, forms))}
    assert not missing


@pytest.mark.parametrize(
    "command", ["bash tools/new.sh a", "source other/activate", "python a.py < b", "for x in a; do b; done", "cp a b"]
)
def test_a_command_without_a_form_is_listed(command: str) -> None:
    assert without_form(command, powershell_forms())


def test_the_table_is_there_and_names_what_exists() -> None:
    forms = powershell_forms()
    assert len(forms) > 8 and forms["tools/dist_train.sh"] == "`python tools/start.py train`"
    assert (ROOT / "tools/start.py").is_file()
    scripts = {path.name for path in (ROOT / "tools").glob("*.sh")}
    assert all(any(script in left or "sbatch" in left for left in forms) for script in scripts)
