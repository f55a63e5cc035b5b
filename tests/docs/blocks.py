"""Shell blocks of Markdown pages, run as a reader would run them.

A block is fenced and marked sh, bash, shell or console. An HTML comment just before it names the setting it runs in::

    <!-- runs in: observation -->
    <!-- runs in: observation, exit 3 -->     it ends with this exit code
    <!-- runs in: observation, slow -->       only make test-all runs it; quick tests find its results in place
    <!-- runs in: observation, serves -->     it prints an address that answers, until Ctrl-C

A block marked python runs too when such a comment stands before it. The blocks of a page that share a setting run in
order in one folder; like the commands of one terminal, later ones know the variables and the folder of earlier ones.

What a block prints may follow in a block marked text. With the comment ``<!-- prints -->`` before it, its lines must be
among those printed, in this order; spaces and the borders of tables do not count, and ``...`` stands for anything.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

SHELL, PYTHON = ("sh", "bash", "shell", "console"), "python"
SETTING = re.compile(r"<!--\s*runs in:\s*(?P<setting>\w+)(?P<options>[\w ,]*?)\s*-->\s*")
OPTION = re.compile(r"(?P<slow>slow)|(?P<serves>serves)|exit (?P<exit>\d+)")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\S*")
PRINTS = re.compile(r"<!--\s*prints\s*-->\s*")
BORDERS = re.compile(r"[\u2500-\u257f\s]+")
COMMAND = re.compile(r"\s*(\$|nirfire|make|pip|git|export|cd) ")
PREAMBLE = """set -Eeuo pipefail
trap 'echo $LINENO > "$BLOCKS/failed"' ERR
trap '{ export -p; printf "cd %q\\n" "$PWD"; } > "$BLOCKS/state"' EXIT
if [ -f "$BLOCKS/state" ]; then . "$BLOCKS/state"; fi
"""
SHOWN = 3000


class BadBlock(Exception):
    """A block that cannot be tested, or that did not end as its page says; the message starts with page:line."""


@dataclass(frozen=True)
class Block:
    """A block of commands.

    Attributes
    ----------
    page : str
        Name of its page.
    line : int
        Line of its first command, from 1.
    script : str
        What bash runs; line n of the script is line ``line + n`` of the page, from 0.
    setting : str
        Name of the setting.
    exit_code : int
        How it ends.
    slow : bool
        Not for quick tests.
    serves : bool
        It goes on until Ctrl-C.
    prints : tuple of str
        Lines that it prints among others.
    """

    page: str
    line: int
    script: str
    setting: str
    exit_code: int = 0
    slow: bool = False
    serves: bool = False
    prints: tuple[str, ...] = ()

    def unprinted(self, printed: str) -> str | None:
        """The first line that should have been printed and was not."""
        lines = map(_plain, printed.splitlines())
        for expected in filter(None, map(_plain, self.prints)):
            pattern = re.compile(".*".join(map(re.escape, expected.split("..."))))
            if not any(map(pattern.fullmatch, lines)):  # goes on after the line found last
                return expected
        return None


def _plain(line: str) -> str:
    return BORDERS.sub(" ", line).strip()


@dataclass(frozen=True)
class Case:
    """The blocks of one page and setting, in order; a fresh case has the slow ones too, and starts from nothing."""

    page: str
    setting: str
    blocks: tuple[Block, ...]
    fresh: bool

    def __str__(self) -> str:
        return f"{self.page}-{self.setting}{'-fresh' if self.fresh else ''}"


@dataclass(frozen=True)
class Sandbox:
    """Where blocks run: a folder, and the environment variables of the reader's terminal."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    minutes: float = 3

    def run(self, block: Block) -> str:
        """Run a block; what it printed, or BadBlock."""
        private = self.folder.parent / f"{self.folder.name}-blocks"
        private.mkdir(exist_ok=True)
        (private / "failed").unlink(missing_ok=True)
        environment = {**self.environment, "BLOCKS": str(private)}
        script = PREAMBLE + block.script
        if block.serves:
            return self._serve(block, script, environment)
        code, printed = self._bash(script, environment)
        if code == block.exit_code:
            if (line := block.unprinted(printed)) is not None:
                raise BadBlock(f"{block.page}:{block.line}: did not print: {line}\n--- printed ---\n{printed[-SHOWN:]}")
            return printed
        failed = private / "failed"
        line = block.line
        if code and failed.exists():
            line += max(0, int(failed.read_text()) - PREAMBLE.count("\n") - 1)
        expected = f", not {block.exit_code}" if block.exit_code else ""
        ended = "did not end in time" if code is None else f"ended with exit code {code}{expected}"
        raise BadBlock(f"{block.page}:{line}: {ended}\n{block.script}\n--- printed ---\n{printed[-SHOWN:]}")

    def _serve(self, block: Block, script: str, environment: dict[str, str]) -> str:
        """Start a server, ask for the page whose address it prints, and end it; what it printed, or BadBlock."""
        process = self._start(script, {**environment, "BROWSER": "true"})
        assert process.stdout is not None
        late = threading.Timer(self.minutes * 60, os.killpg, (process.pid, signal.SIGKILL))
        late.start()
        try:
            printed = ""
            while (line := process.stdout.readline()) and ADDRESS.search(printed := printed + line) is None:
                pass
            address = ADDRESS.search(printed)
            if address is None:
                raise BadBlock(
                    f"{block.page}:{block.line}: printed no address\n{block.script}\n--- printed ---\n{printed}"
                )
            with urllib.request.urlopen(address[0], timeout=self.minutes * 60) as answer:
                assert answer.status == 200
            os.killpg(process.pid, signal.SIGINT)
            return printed + process.communicate()[0]
        finally:
            late.cancel()

    def _bash(self, script: str, environment: dict[str, str]) -> tuple[int | None, str]:
        process = self._start(script, environment)
        try:
            printed, _ = process.communicate(timeout=self.minutes * 60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None, process.communicate()[0]
        return process.returncode, printed

    def _start(self, script: str, environment: dict[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )


def find_blocks(text: str, page: str) -> list[Block]:
    """Find the blocks of a page.

    Parameters
    ----------
    text : str
        Markdown.
    page : str
        Its name, for messages.

    Returns
    -------
    list of Block

    Raises
    ------
    BadBlock
        A block of commands names no setting, or says something that is not understood; or a fence without language
        holds what looks like a command.
    """
    blocks: list[Block] = []
    for found in _blocks(text, page, 0):
        if isinstance(found, Block):
            blocks.append(found)
        elif not blocks:
            raise BadBlock(f"{page}:{found.line}: no block before it that could print this")
        else:
            blocks[-1] = replace(blocks[-1], prints=found.lines)
    return blocks


@dataclass(frozen=True)
class _Printed:
    line: int
    lines: tuple[str, ...]


def _blocks(text: str, page: str, offset: int) -> Iterator[Block | _Printed]:
    before: Token | None = None
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence":
            yield from _of_fence(token, before, page, offset)
        if token.nesting == 0 and token.type != "inline":
            before = token
        elif token.type.endswith("_close"):
            before = None


def _of_fence(token: Token, before: Token | None, page: str, offset: int) -> Iterator[Block | _Printed]:
    start = offset + (token.map[0] if token.map else 0) + 2  # the line after the fence's first, from 1
    language = token.info.split()[0].lower() if token.info.strip() else ""
    if language.startswith("{") and language != "{code-block}":
        yield from _blocks(token.content, page, start - 1)
        return
    if language == "{code-block}":
        language = token.info.split()[-1].lower()
    said = before.content if before is not None and before.type == "html_block" else ""
    comment = SETTING.fullmatch(said)
    if language in SHELL or (language == PYTHON and comment):
        if comment is None:
            raise BadBlock(f"{page}:{start - 1}: no comment such as <!-- runs in: env --> before this block")
        block = Block(page, start, _script(language, token.content), comment["setting"])
        yield _with_options(block, comment["options"])
    elif PRINTS.fullmatch(said):
        yield _Printed(start - 1, tuple(token.content.splitlines()))
    elif not language and (command := next(filter(COMMAND.match, token.content.splitlines()), None)):
        raise BadBlock(f"{page}:{start - 1}: commands ({command.strip()}) in a block that is not marked sh")


def _with_options(block: Block, options: str) -> Block:
    for option in filter(None, (o.strip() for o in options.split(","))):
        match = OPTION.fullmatch(option)
        if match is None:
            raise BadBlock(f"{block.page}:{block.line - 1}: {option!r} is none of 'slow', 'serves' and 'exit N'")
        if match["exit"]:
            block = replace(block, exit_code=int(match["exit"]))
        else:
            block = replace(block, **{match[0]: True})
    return block


def _script(language: str, content: str) -> str:
    if language == PYTHON:
        return f"python - <<'PYTHON_BLOCK'\n{content}PYTHON_BLOCK\n"
    if language != "console":
        return content
    prompts = (re.match(r"[$>] (.*)", line) for line in content.splitlines())
    return "".join(f"{prompt[1] if prompt else ''}\n" for prompt in prompts)


def cases(blocks: list[Block], slow_settings: frozenset[str]) -> list[Case]:
    """Group blocks to what one test runs.

    Parameters
    ----------
    blocks : list of Block
        In the order of their pages.
    slow_settings : frozenset of str
        Settings that take minutes to set up.

    Returns
    -------
    list of Case
        A page and setting with slow blocks appears twice: without them, and, for the slow tests, with all.
    """
    found = []
    key = attrgetter("page", "setting")
    for (page, setting), group in groupby(sorted(blocks, key=key), key=key):
        every = tuple(group)
        quick = tuple(b for b in every if not b.slow)
        if setting in slow_settings or quick != every:
            found.append(Case(page, setting, every, fresh=True))
        if setting not in slow_settings and quick:
            found.append(Case(page, setting, quick, fresh=False))
    return found
