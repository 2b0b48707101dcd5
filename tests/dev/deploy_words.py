#!/usr/bin/env python3
"""Runs `sam deploy` with what was built for as a parameter, and with the parameters of samconfig.toml as sam would take them.

    deploy_words.py ARCHITECTURE sam deploy …

Parameters on sam's command line replace those of the file, and Architecture has to be on it; so the file's are put there too,
unless the command line has others. Architecture comes last of the file's: what --guided saved there was said of an earlier build.
Before others on the command line it comes first, so that one that says otherwise is refused by CloudFormation, not passed over.
"""

import argparse
import os
import pathlib
import sys
import tomllib

OPTION = "--parameter-overrides"


def of_file(words):
    """The file's parameters as words of the command line, and the file; sam reads what is for every command, then deploy's."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--config-env", default="default")
    options.add_argument("--config-file", default="samconfig.toml")
    chosen, _ = options.parse_known_args(words)
    path = pathlib.Path(chosen.config_file)
    if not path.is_file():
        return [], path
    if path.suffix != ".toml":
        sys.exit(f"{path}: only a file of TOML is read here; give its parameters by ARGS='{OPTION} …'")
    environment = tomllib.loads(path.read_text(encoding="utf-8")).get(chosen.config_env, {})
    given = [environment.get(command, {}).get("parameters", {}).get("parameter_overrides") for command in ("global", "deploy")]
    overrides = given[0] if given[1] is None else given[1]
    overrides = overrides if isinstance(overrides, list) else [overrides] if overrides else []
    if not all(isinstance(words, str) for words in overrides):
        sys.exit(f"{path}: write parameter_overrides as a text, or as a list of texts (\"Name=value\")")
    return [words for words in overrides if words.strip()], path


def main():
    architecture, *words = sys.argv[1:]
    built_for = f"Architecture={architecture}"
    file, path = of_file(words)
    # click takes both forms.
    at = next((i for i, word in enumerate(words) if word.partition("=")[0] == OPTION), None)
    if at is None:
        words += [OPTION, *file, built_for]
    else:
        _, equals, value = words[at].partition("=")
        words[at : at + 1] = [OPTION, built_for, *([value] if equals else [])]
        if file:
            print(f"The parameters in {path} are not used: ARGS has others. The stack keeps what it has.", file=sys.stderr)
    sys.stdout.flush()
    os.execvp(words[0], words)


if __name__ == "__main__":
    main()
