"""The harness that runs the blocks of the pages, on little pages of its own."""

import os

import pytest

from .blocks import BadBlock, Sandbox, cases, find_blocks


@pytest.fixture
def sandbox(tmp_path):
    folder = tmp_path / "sandbox"
    folder.mkdir()
    return Sandbox(folder, {"PATH": os.environ["PATH"]})


def page(*lines):
    return "\n".join(lines) + "\n"


GOOD = page("# Title", "<!-- runs in: env -->", "```sh", "echo one > file", "```")


def test_a_block_is_found_with_its_place_and_setting():
    (block,) = find_blocks(GOOD, "page.md")
    assert (block.page, block.line, block.setting, block.exit_code, block.slow) == ("page.md", 4, "env", 0, False)
    assert block.script == "echo one > file\n"


@pytest.mark.parametrize("language", ["sh", "bash", "shell", "console", "{code-block} sh"])
@pytest.mark.parametrize("before", ["Words.", "<!-- runs -->", "<!-- runs in: env -->\n\nWords between."])
def test_a_block_without_setting_fails(language, before):
    with pytest.raises(BadBlock, match=r"^page.md:\d+: no comment"):
        find_blocks(page(before, "", f"```{language}", "$ true", "```"), "page.md")


def test_no_block_escapes_by_where_it_stands():
    for hidden in (
        page("1. Words", "", "   ```sh", "   true", "   ```"),
        page("> ~~~bash", "> true", "> ~~~"),
        page("````{note}", "Words.", "```sh", "true", "```", "````"),
        page(":::{note}", "```sh", "true", "```", ":::"),
        page("```", "$ nirfire run", "```"),
        page("```", "nirfire run x", "```"),
    ):
        with pytest.raises(BadBlock, match=r"^page.md:[123]:"):
            find_blocks(hidden, "page.md")


def test_lines_count_from_the_page_inside_directives():
    text = page("````{note}", "<!-- runs in: env -->", "```sh", "true", "```", "````")
    assert [b.line for b in find_blocks(text, "page.md")] == [4]


def test_other_blocks_are_left_alone():
    assert find_blocks(page("```text", "$ true", "```", "", "```toml", "a = 1", "```"), "p") == []
    assert find_blocks(page("```", "raw/", "```"), "p") == []
    assert find_blocks(page("```python", "1 / 0", "```"), "p") == []


def test_options_are_read_and_others_refused():
    (block,) = find_blocks(GOOD.replace("env -->", "env, exit 3, slow -->"), "page.md")
    assert (block.exit_code, block.slow) == (3, True)
    with pytest.raises(BadBlock, match=r"page.md:3: 'quick'"):
        find_blocks(GOOD.replace("env -->", "env, quick -->"), "page.md")


def test_the_lines_with_prompts_of_a_console_block_are_commands():
    text = page("<!-- runs in: env -->", "```console", "$ echo a \\", "> b", "a b", "$ true", "```")
    assert find_blocks(text, "page.md")[0].script == "echo a \\\nb\n\ntrue\n"


def test_blocks_share_a_folder_and_a_terminal(sandbox):
    text = GOOD + page(
        "<!-- runs in: env -->", "```sh", "mkdir sub", "cd sub", "export WORD='two words'", "```", "Words.", "",
        "<!-- runs in: env -->", "```sh", 'echo "$WORD" > here', "cat ../file", "```",
        "<!-- runs in: env -->", "```python", "print(open('here').read())", "```",
    )  # fmt: skip
    printed = [sandbox.run(block) for block in find_blocks(text, "page.md")]
    assert printed[2] == "one\n"
    assert "two words" in printed[3]
    assert {p.name for p in sandbox.folder.iterdir()} == {"file", "sub"}


@pytest.mark.parametrize("command", ["false", "false | cat", "cat absent", "(exit 5)"])
def test_a_failing_command_is_named_with_page_and_line(sandbox, command):
    text = page("# Title", "", "<!-- runs in: env -->", "```sh", "echo words", command, "echo not reached", "```")
    with pytest.raises(BadBlock, match=r"^page.md:6: ended with exit code") as raised:
        sandbox.run(find_blocks(text, "page.md")[0])
    assert "words" in str(raised.value).split("--- printed ---")[1]
    assert "not reached" not in str(raised.value).split("--- printed ---")[1]


def test_an_unset_variable_fails(sandbox):
    with pytest.raises(BadBlock, match="unbound variable"):
        sandbox.run(find_blocks(GOOD.replace("echo one", "echo $ABSENT"), "page.md")[0])


def test_an_expected_exit_code_must_come(sandbox):
    (block,) = find_blocks(GOOD.replace("env", "env, exit 3").replace("echo one", "exit 3; echo"), "page.md")
    sandbox.run(block)
    (block,) = find_blocks(GOOD.replace("env", "env, exit 3"), "page.md")
    with pytest.raises(BadBlock, match=r"exit code 0, not 3"):
        sandbox.run(block)


OUTPUT = ("Words.", "", "<!-- prints -->", "```text")


@pytest.mark.parametrize(
    "expected", [("one",), ("one", "three"), ("o...e", "t... four"), ("", "three"), ("two   three",)]
)
def test_what_a_block_prints_is_looked_for(sandbox, expected):
    script = "printf 'one\\n┃ two │ three ┃\\nthree\\nt four\\n'"
    text = page("<!-- runs in: env -->", "```sh", script, "```", *OUTPUT, *expected, "```")
    sandbox.run(find_blocks(text, "page.md")[0])


@pytest.mark.parametrize("expected", [("on",), ("two", "one"), ("one", "one"), ("t...five",)])
def test_what_a_block_does_not_print_is_named(sandbox, expected):
    text = page("<!-- runs in: env -->", "```sh", "echo one", "echo two", "```", *OUTPUT, *expected, "```")
    with pytest.raises(BadBlock, match=rf"^page.md:3: did not print: {expected[-1]}"):
        sandbox.run(find_blocks(text, "page.md")[0])


def test_output_without_a_block_is_refused():
    with pytest.raises(BadBlock, match=r"^page.md:4: no block"):
        find_blocks(page(*OUTPUT, "one", "```"), "page.md")


def test_a_block_that_hangs_is_ended(sandbox):
    hasty = Sandbox(sandbox.folder, sandbox.environment, minutes=0.01)
    (block,) = find_blocks(GOOD.replace("echo one", "sleep 60; echo"), "page.md")
    with pytest.raises(BadBlock, match="did not end in time"):
        hasty.run(block)


def test_slow_blocks_run_with_all_the_others_of_their_page():
    slow = GOOD.replace("env", "env, slow")
    blocks = find_blocks(GOOD + slow + GOOD.replace("env", "clone"), "page.md")
    found = cases(blocks, slow_settings=frozenset({"clone"}))
    assert [(str(case), len(case.blocks), case.fresh) for case in found] == [
        ("page.md-clone-fresh", 1, True),
        ("page.md-env-fresh", 2, True),
        ("page.md-env", 1, False),
    ]
