"""A lint that finds nothing proves nothing: each one must fail on a tree with its fault in it."""
import pathlib
import subprocess

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"
MESON = "subdir('base')\nsubdir('jail')\nsubdir('json')\nsubdir('daemon')\nsubdir('cli')\n"
HEADER = "#ifndef A_H\n#define A_H\nint a(void);\n#endif\n"


def lint(name, root):
    run = subprocess.run([SCRIPTS / f"check-{name}", root], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    if run.returncode == 77:
        pytest.skip(run.stdout.strip())
    return run


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    subprocess.run(["git", "init", "-q", root], check=True)
    subprocess.run(["git", "-C", root, "add", "-A"], check=True)
    return root


@pytest.mark.parametrize("file, text, fault", [
    ("src/base/a.c", '#include "json/j.h"\n', "stands below"),
    ("src/base/a.c", '#include "a.h"\n', "does not name its directory"),
    ("src/cli/a.c", '#include "daemon/d.h"\n', "a program is included by nobody"),
    ("src/base/a.c", "#include <seccomp.h>\n", "included from jail/ only"),
    ("src/json/a.c", "#include <openssl/sha.h>\n", "included from dist/ and image/ and store/ and tls/ only"),
    ("src/base/a.c", '#include "base/gone.h"\n', "does not exist"),
    ("src/odd/a.c", "int x;\n", "is not in src/meson.build"),
])
def test_layers_finds(tmp_path, file, text, fault):
    files = {"src/meson.build": MESON, "src/base/a.h": HEADER, "src/json/j.h": HEADER,
             "src/daemon/d.h": HEADER, file: text}
    run = lint("layers", tree(tmp_path, files))
    assert run.returncode == 1 and fault in run.stdout


def test_layers_accepts_what_is_right(tmp_path):
    files = {"src/meson.build": MESON, "src/base/a.h": HEADER, "src/jail/s.c": "#include <seccomp.h>\n",
             "src/cli/a.c": '#include "base/a.h"\n#include <stdio.h>\n'}
    assert lint("layers", tree(tmp_path, files)).returncode == 0


@pytest.mark.parametrize("text", [
    "#ifndef B_H\n#define B_H\nsize_t b(void);\n#endif\n",  # leans on its user's <stddef.h>
    "struct b { int x; };\n",  # no guard
])
def test_headers_finds(tmp_path, text):
    run = lint("headers", tree(tmp_path, {"src/base/b.h": text}))
    assert run.returncode == 1 and "does not compile" in run.stdout


def test_headers_accepts_what_is_right(tmp_path):
    assert lint("headers", tree(tmp_path, {"src/base/a.h": HEADER})).returncode == 0


@pytest.mark.parametrize("file, text", [
    ("src/jail/t.c", "int x = SCMP_CMP_" + "GE;\n"),
    ("docs/a.md", "see https://registry.np" + "mjs.org/\n"),
    ("src/base/a.c", "int f(char *a) { return sys" + "tem(a); }\n"),
    ("src/base/a.c", "/* TO" + "DO */\n"),
])
def test_names_finds(tmp_path, file, text):
    assert lint("names", tree(tmp_path, {file: text})).returncode == 1


def test_names_accepts_what_is_right(tmp_path):
    files = {"src/jail/t.c": "int x = SCMP_CMP_MASKED_EQ;\n", "docs/a.md": "A sandbox.\n"}
    assert lint("names", tree(tmp_path, files)).returncode == 0


def test_format_finds(tmp_path):
    style = (SCRIPTS.parent / ".clang-format").read_text()
    files = {".clang-format": style, "a.c": "int  a( void ){return 1;}\n"}
    assert lint("format", tree(tmp_path, files)).returncode == 1


def test_format_accepts_what_is_right(tmp_path):
    style = (SCRIPTS.parent / ".clang-format").read_text()
    files = {".clang-format": style, "a.c": "int a(void)\n{\n\treturn 1;\n}\n"}
    assert lint("format", tree(tmp_path, files)).returncode == 0


def test_shell_finds(tmp_path):
    files = {"x": "#!/bin/sh\ncd $1 | rm -rf $1/*\nif [ $a == b ]; then :; fi\n"}
    assert lint("shell", tree(tmp_path, files)).returncode == 1


def test_spelling_finds(tmp_path):
    assert lint("spelling", tree(tmp_path, {"a.md": "This is te" "h end of recie" "ve.\n"})).returncode


def test_spelling_accepts_what_is_right(tmp_path):
    assert lint("spelling", tree(tmp_path, {"a.md": "This is the end.\n"})).returncode == 0
