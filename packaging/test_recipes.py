#!/usr/bin/env python3
"""Fills the recipes from an invented release, and checks each recipe with those tools of its package
manager that are on this machine."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest

HERE = pathlib.Path(__file__).resolve().parent
URL = "https://mirror.example/downhaul"
SOURCE = "downhaul-1.2.3.tar.gz"
WINDOWS = "downhaul-1.2.3-x86_64-pc-windows-msvc.zip"


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def needs(tool):
    """Skips a test whose tool is missing, except in CI."""
    return unittest.skipUnless(shutil.which(tool) or "CI" in os.environ, f"{tool} is not installed")


class Recipes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        # makepkg runs as the user `nobody`, who must be able to read this folder.
        self.folder.chmod(0o755)
        self.release = self.folder / "release"
        self.release.mkdir()
        self.digests = {name: self.make_up(name) for name in (SOURCE, WINDOWS)}
        self.filled = self.folder / "recipes"

    def make_up(self, name):
        content = f"not really {name}".encode()
        (self.release / name).write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def fill(self):
        return run(HERE / "fill", self.release, self.filled, URL)

    def text(self, name):
        """Returns the text of a filled recipe, after the checks that are the same for all of them."""
        self.fill()
        text = (self.filled / name).read_text()
        self.assertIsNone(re.search(r"@(version|url|sha256)", text))
        self.assertIn("1.2.3", text)
        artefact = WINDOWS if name.startswith("scoop") else SOURCE
        self.assertIn(self.digests[artefact], text)
        self.assertIn(URL, text)
        return text

    @needs("ruby")
    def test_homebrew(self):
        self.text("homebrew/downhaul.rb")
        self.assertIn("Syntax OK", run("ruby", "-wc", self.filled / "homebrew/downhaul.rb"))

    def test_scoop(self):
        recipe = json.loads(self.text("scoop/downhaul.json"))
        program = recipe["architecture"]["64bit"]
        self.assertEqual(program["url"], f"{URL}/{WINDOWS}")
        self.assertEqual(program["hash"], self.digests[WINDOWS])
        # Scoop puts the next version into the URL by itself.
        next_url = recipe["autoupdate"]["architecture"]["64bit"]["url"].replace("$version", "1.2.3")
        self.assertEqual(next_url.rsplit("/")[-1], WINDOWS)

    def test_aur(self):
        self.text("aur/PKGBUILD")
        run("bash", "-n", self.filled / "aur/PKGBUILD")

    @needs("makepkg")
    def test_aur_with_makepkg(self):
        self.text("aur/PKGBUILD")
        folder = self.filled / "aur"
        # makepkg compares the source with the digest. The source must be in the folder of the recipe, and
        # makepkg refuses to run as root.
        shutil.copy(self.release / SOURCE, folder)
        as_user = []
        if os.getuid() == 0:
            run("chown", "-R", "nobody", folder)
            as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        # makepkg would use pacman to find the packages that the recipe needs. Here, the command `true`
        # replaces pacman.
        makepkg = [*as_user, "env", f"HOME={folder}", "PACMAN=true", "makepkg"]
        about = run(*makepkg, "--printsrcinfo", cwd=folder)
        self.assertIn(f"source = {URL}/{SOURCE}", about)
        self.assertIn("Passed", run(*makepkg, "--verifysource", "--nodeps", cwd=folder))

    @needs("nix-instantiate")
    def test_nix(self):
        self.text("nix/package.nix")
        store = {**os.environ, "NIX_STORE_DIR": f"{self.folder}/store", "NIX_STATE_DIR": f"{self.folder}/state"}
        # The package collection of Nix is not installed. These values replace it.
        given = "{ lib = { optionalString = _: text: text; licenses = { mit = 1; asl20 = 2; }; }; fetchurl = source: source; "
        given += "stdenv = { buildPlatform.canExecute = _: true; hostPlatform = 1; }; installShellFiles = 1; "
        given += "rustPlatform.buildRustPackage = package: package; }"
        recipe = f"import {self.filled}/nix/package.nix {given}"
        source = run("nix-instantiate", "--eval", "--strict", "--expr", f"({recipe}).src", env=store)
        self.assertIn(f'url = "{URL}/{SOURCE}"', source)
        self.assertTrue((self.filled / "nix/Cargo.lock").is_file())

    def test_conda(self):
        text = self.text("conda/recipe.yaml")
        try:
            import yaml
        except ImportError:
            self.assertNotIn("CI", os.environ)
            self.skipTest("the Python package yaml is not installed")
        recipe = yaml.safe_load(text)
        self.assertEqual(recipe["package"], {"name": "downhaul", "version": "1.2.3"})
        self.assertEqual(recipe["source"], {"url": f"{URL}/{SOURCE}", "sha256": self.digests[SOURCE]})

    def test_a_recipe_without_its_file_is_left_out(self):
        (self.release / WINDOWS).unlink()
        self.assertIn(f"scoop/downhaul.json: left out, since {WINDOWS}", self.fill())
        self.assertFalse((self.filled / "scoop/downhaul.json").exists())
        self.assertTrue((self.filled / "aur/PKGBUILD").exists())

    def test_a_release_without_source_is_refused(self):
        (self.release / SOURCE).unlink()
        done = subprocess.run([HERE / "fill", self.release, self.filled], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("has 0 files named downhaul-VERSION.tar.gz", done.stderr)

    def test_cargo_binstall_looks_for_the_archives_that_are_made(self):
        manifest = tomllib.loads((HERE.parent / "crates/cli/Cargo.toml").read_text())
        binstall = manifest["package"]["metadata"]["binstall"]
        target = "x86_64-unknown-linux-gnu"
        content = self.folder / "content"
        content.mkdir()
        (content / "downhaul").write_text("a program")
        made = pathlib.Path(run(HERE / "archive", content, target, self.folder).strip())
        version = run(HERE / "version").strip()

        def fill(template):
            facts = {"name": "downhaul", "bin": "downhaul", "version": version, "target": target, "binary-ext": ""}
            return re.sub(r"\{ ([a-z-]+) \}", lambda match: facts.get(match.group(1), match.group(0)), template)

        self.assertEqual(fill(binstall["pkg-url"]), "{ repo }/releases/download/v" + f"{version}/{made.name}")
        self.assertIn(fill(binstall["bin-dir"]), run("tar", "tzf", made).splitlines())


if __name__ == "__main__":
    print(f"the recipes, with Python {sys.version.split()[0]}")
    unittest.main()
