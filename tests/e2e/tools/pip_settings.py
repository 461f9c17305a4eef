"""Print the pip configuration of this machine, from all of its files and the environment.

    pip_settings.py FILE    writes it to FILE and prints the local files and folders it names

An image build has neither this machine's environment nor its files. It gets this one mounted,
for the time of the build only, so that no mirror or certificate ends up in an image.
"""

import ast
import configparser
import subprocess
import sys
from pathlib import Path


def settings() -> dict[str, str]:
    """Return option → value; of several sources the last that pip names wins, as in pip."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    ).stdout
    found = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in ("global", "install", ":env:"):
            found[option] = str(ast.literal_eval(value))
    return found


def main() -> None:
    found = settings()
    configuration = configparser.RawConfigParser()
    configuration["global"] = found
    with Path(sys.argv[1]).open("w") as file:
        configuration.write(file)
    for value in found.values():
        for word in value.split():
            if word.startswith("/") and Path(word).exists():
                print(word)


if __name__ == "__main__":
    main()
