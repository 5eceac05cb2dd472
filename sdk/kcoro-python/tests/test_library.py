# SPDX-License-Identifier: BSD-3-Clause
"""The declarations are those of the headers, and the library is found where the documentation names it."""

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import List

import kcoro
from kcoro._cdef import CDEF
from kcoro._library import SONAME

HEADERS = Path(__file__).parents[3] / "crates" / "capi" / "include"


def declarations(text: str) -> List[str]:
    """Each declaration, its white space made equal; without comments and directives."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*|^\s*#[^\n]*", " ", text, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"[^;{}]+(?:\{[^}]*\})?[^;{}]*;", text)
    return [re.sub(r"\s+", " ", one).strip() for one in found]


class Declarations(unittest.TestCase):
    @unittest.skipUnless(HEADERS.is_dir(), "the headers are in the repository")
    def test_each_is_in_a_header(self) -> None:
        text = " ".join(" ".join(declarations(header.read_text())) for header in HEADERS.glob("*.h"))
        declared = declarations(CDEF)
        self.assertGreater(len(declared), 45)
        for one in declared:
            self.assertIn(one, text)

    def test_each_function_is_in_the_library(self) -> None:
        for name in re.findall(r"\b(kc_\w+)\(", CDEF):
            self.assertTrue(callable(getattr(kcoro._library.lib, name)), name)

    def test_classes_have_the_fields_of_their_structures(self) -> None:
        for record, name in ((kcoro.Stats, "stats"), (kcoro.Snapshot, "snapshot"), (kcoro.Rate, "rate_sample")):
            fields = [field for field, _ in kcoro._library.ffi.typeof(f"struct kc_chan_{name}").fields]
            self.assertEqual(
                [field.name for field in dataclasses.fields(record)], [field for field in fields if field != "chan"]
            )


class Finding(unittest.TestCase):
    def imported(self, **variables: str) -> "subprocess.CompletedProcess[str]":
        """What a new interpreter prints with this environment alone."""
        environment = {"PYTHONPATH": os.pathsep.join(["", *filter(None, sys.path)]), **variables}
        program = [sys.executable, "-c", "import kcoro; print(kcoro.panics_contained())"]
        return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)

    def test_by_each_way(self) -> None:
        library = Path(os.environ["KCORO_LIBRARY"]).resolve()
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / SONAME).symlink_to(library)
            (Path(folder) / "kcoro.pc").write_text(
                f"libdir={folder}\nName: kcoro\nDescription: for a test\nVersion: 0.1.0\n"
            )
            path = os.environ["PATH"]
            for variables in (
                {"KCORO_LIBRARY": str(library)},
                {"PKG_CONFIG_PATH": folder, "PATH": path},
                {"LD_LIBRARY_PATH": folder, "PATH": path, "PKG_CONFIG_LIBDIR": "/nowhere"},
                {"LD_LIBRARY_PATH": folder},
            ):
                said = self.imported(**variables)
                self.assertEqual(said.stdout, "0\n", f"{variables}: {said.stderr}")

    def test_a_variable_that_names_no_library_is_an_error_with_a_hint(self) -> None:
        said = self.imported(KCORO_LIBRARY="/nowhere/libkcoro.so")
        self.assertIn("/nowhere/libkcoro.so", said.stderr)
        self.assertIn("set KCORO_LIBRARY to its file", said.stderr)


class Readme(unittest.TestCase):
    def test_its_program_prints_what_it_shows(self) -> None:
        text = (Path(__file__).parents[1] / "README.md").read_text()
        blocks = dict(re.findall(r"^```(python|text)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
        said = subprocess.run([sys.executable, "-c", blocks["python"]], capture_output=True, text=True, check=False)
        self.assertEqual((said.stdout, said.stderr), (blocks["text"], ""))


if __name__ == "__main__":
    unittest.main()
