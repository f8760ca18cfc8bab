"""Kind: words of a command line or of a file that become values."""

from pathlib import Path

import pytest

from steinflow.cli import main, parsed, with_defaults
from steinflow.io.words import options_of, value_of, values_of
from steinflow.rl.commands import Train
from steinflow.study.command import Study
from steinflow.sweep import plan

# row 5


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("False", False), ("True", True), ("None", None), ("false", False), ("null", None),
        ("(0.2,1.0)", (0.2, 1.0)), ("[1, 2]", [1, 2]), ("{'a': 1}", {"a": 1}),
        ('{"a": [true]}', {"a": [True]}), ("1e-3", 1e-3), ("0x10", 16), ("'7'", "7"),
        ("human", "human"), ("1.2.3", "1.2.3"), ("", ""), ("a b", "a b"), ("[" * 9999, "[" * 9999),
    ],
)  # fmt: skip
def test_the_spellings_of_json_and_python_are_values(word, value):
    """Further: quotes make a word of a number; what is nested beyond all measure stays a word."""
    result = value_of(word)
    assert result == value and type(result) is type(value)


def test_a_name_twice_or_none_is_a_sentence():
    """Further."""
    assert values_of(("a=1", "b=x=y", "c=[2]")) == {"a": 1, "b": "x=y", "c": [2]}
    with pytest.raises(ValueError, match="gives a twice"):
        values_of(("a=1", "a=2"))
    for pair in ("g", "=1", "a b=1"):
        with pytest.raises(ValueError, match="is no NAME=VALUE"):
            values_of((pair,))


@pytest.mark.parametrize(
    "line",
    ['env_kwargs = ["flag=False", "range=(1,2)"]', "env_kwargs = {flag = false, range = [1, 2]}"],
)
def test_a_file_says_the_same(line, tmp_path):
    """As words or as a table: in a sweep's file, and in that of --config."""
    file = tmp_path / "a.toml"
    file.write_text(f'command = "train"\n[fixed]\nenv = "A-v0"\n{line}\n')
    words = plan.words(plan.read(file)[0], tmp_path)
    command = with_defaults(parsed(words), words)
    file.write_text(line)
    for pairs in (command.env_kwargs, options_of(Train, file)["env_kwargs"]):
        result = values_of(pairs)
        assert result["flag"] is False and list(result["range"]) == [1, 2]


# row 26


@pytest.mark.parametrize(
    "words",
    [
        "train --hidden 8 8 Pendulum-v1", "train --track tensorboard Pendulum-v1",
        "train --env-kwargs g=9.8 small:Point --steps 9", "train --actor-hidden 8 Pendulum-v1",
        "doctor --env-kwargs g=9.8 Pendulum-v1",
    ],
)  # fmt: skip
def test_a_name_that_an_option_takes_is_said_to_come_first(words, capsys):
    """Further: --env-kwargs, an option with one value, and another command."""
    assert main(words.split()) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "ENV comes first: steinflow " in text
    named = next(word for word in words.split() if "Pe" in word or ":" in word)
    assert f"steinflow {words.split()[0]} {named} --" in text


def test_options_that_take_one_value_leave_the_name():
    assert parsed(["train", "--steps", "9", "Hopper-v5"]).env == "Hopper-v5"
    assert parsed(["train", "--quiet", "Hopper-v5"]).env == "Hopper-v5"


# row 28: a home folder


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    """In flags, files and Python; further: a user that is not there."""
    from steinflow.io.paths import expanded, with_expanded_paths

    monkeypatch.setenv("HOME", str(tmp_path))
    for words in (["train", "--out=~/t"], ["eval", "~/t"], ["study", "--out", "~/t"]):
        command = with_expanded_paths(with_defaults(parsed(words), words))
        assert tmp_path / "t" in (command.out, *getattr(command, "runs", ()))
    (tmp_path / "a.toml").write_text('out = "~/t"\n')
    result = with_expanded_paths(with_defaults(parsed(["study", "--config", "~/a.toml"]),
                                              ["study", "--config", "~/a.toml"]))  # fmt: skip
    assert result.out == tmp_path / "t" and options_of(Study, Path("~/a.toml"))
    with pytest.raises(ValueError, match="names no user"):
        expanded("~nobody-of-this-name/t")
    with pytest.raises(ValueError, match="must be words"):
        expanded(3)
