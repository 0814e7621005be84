"""Codecs that run as programs: real small programs, well-behaved and hostile ones."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecs_registry import codecs
from codecs_registry.codecs import command_line
from codecs_registry.codecs.base import (
    Codec,
    CodecError,
    CodecUnavailable,
    DecodeFailed,
    EncodeFailed,
    Knob,
    Pixels,
)
from codecs_registry.codecs.command_line import (
    BadDeclaration,
    CommandLineCodec,
    declarations,
    read_declaration,
)
from codecs_registry.rate_matched import encode_to_rates

PPM = """
import re, sys, zlib, os
def read_ppm(path):
    content = open(path, "rb").read()
    head = re.match(rb"P6\\s(\\d+)\\s(\\d+)\\s255\\s", content)
    return int(head[1]), int(head[2]), content[head.end():]
"""
# Each sample divided by the step, and zlib: a larger step makes a smaller file.
ENCODE = (
    PPM
    + """
step = float(sys.argv[1])
width, height, samples = read_ppm(sys.argv[3])
levels = bytes(min(255, round(sample / step)) for sample in samples)
with open(sys.argv[2], "wb") as file:
    file.write(f"TOY {width} {height} {step!r}\\n".encode() + zlib.compress(levels, 9))
"""
)
DECODE = """
import sys, zlib
head, body = open(sys.argv[1], "rb").read().split(b"\\n", 1)
magic, width, height, step = head.split()
if magic != b"TOY":
    sys.exit("\\x1b[31mno TOY file\\x07")
samples = bytes(min(255, round(level * float(step))) for level in zlib.decompress(body))
with open(sys.argv[2], "wb") as file:
    file.write(b"P6\\n%d %d\\n255\\n" % (int(width), int(height)) + samples)
"""
TOML = """
name = "toy"
label = "Toy"
extension = ".toy"
picture = "ppm"
encode = ["./encode", "{setting}", "{bitstream}", "{picture}"]
decode = ["./decode", "{bitstream}", "{picture}"]
how_to_get = "Ask the toy maker."

[knob]
low = 1
high = 64
rises = false
scale = "log"

[limits]
seconds = 20
megabytes_written = 2
"""


def picture(height: int = 24, width: int = 32) -> Pixels:
    """Noise upon a gradient, the same every time."""
    noise = np.random.default_rng(3).normal(0, 20, (height, width, 3))
    return np.clip(np.linspace(40, 200, width)[:, None] + noise, 0, 255).astype(np.uint8)


def program(path: Path, text: str) -> None:
    path.write_text(f"#!{sys.executable} -IS\n{text}")
    path.chmod(0o755)


Make = Callable[..., CommandLineCodec]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A codec of these programs and this TOML; its private folders are made in tmp_path/private."""
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))

    def make(toml: str = TOML, encode: str = ENCODE, decode: str = DECODE) -> CommandLineCodec:
        program(tmp_path / "encode", encode)
        program(tmp_path / "decode", decode)
        (tmp_path / "toy.toml").write_text(toml)
        return CommandLineCodec(read_declaration(tmp_path / "toy.toml"))

    return make


@pytest.fixture(autouse=True)
def no_private_folder_is_left(tmp_path: Path) -> object:
    yield
    private = tmp_path / "private"
    assert not private.exists() or not list(private.iterdir())


# A well-behaved program


def test_a_declared_codec_encodes_and_decodes(make: Make) -> None:
    codec = make()
    assert isinstance(codec, Codec)
    assert codec.unavailable() == ""
    bitstream = codec.encode(picture(), 1)
    assert bitstream.startswith(b"TOY 32 24 1.0\n")
    assert np.array_equal(codec.decode(bitstream), picture())
    assert codec.encode(picture(), 1) == bitstream


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 37, 3), (53, 1, 3)])
def test_narrow_pictures_go_through(make: Make, shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    codec = make()
    assert np.array_equal(codec.decode(codec.encode(pixels, 1)), pixels)


def test_a_png_is_given_and_a_grey_one_becomes_three_channels(make: Make) -> None:
    copy = "import shutil, sys; shutil.copy(sys.argv[-1], sys.argv[-2])"
    back = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
    codec = make(TOML.replace('"ppm"', '"png"'), copy, back)
    bitstream = codec.encode(picture(), 5)
    assert bitstream.startswith(b"\x89PNG")
    assert np.array_equal(codec.decode(bitstream), picture())
    grey = "import sys; open(sys.argv[2], 'wb').write(b'P5\\n# two\\n2 1\\n255\\n\\x07\\xf0')"
    decoded = make(decode=grey).decode(b"anything")
    assert decoded.tolist() == [[[7] * 3, [240] * 3]]


def test_targets_are_met_by_the_search(make: Make) -> None:
    codec = make()
    coded = list(encode_to_rates(codec, picture(), [6.0, 10.0]))
    assert [abs(one.actual_bpp / one.target_bpp - 1) < 0.05 for one in coded] == [True, True]
    assert all(one.pixels.shape == picture().shape for one in coded)


def test_the_recorded_command_repeats_the_encode(make: Make) -> None:
    codec = make()
    setting = 100 / 7
    recorded = codec.settings(setting)
    assert recorded["command"] == f"./encode {setting!r} '{{bitstream}}' '{{picture}}'"
    assert str(recorded["declaration"]).startswith("toy.toml ")
    assert f" {setting!r}\n".encode() in codec.encode(picture(), setting)


def test_settings_that_the_declaration_states_are_recorded_as_well(make: Make) -> None:
    codec = make(TOML + '\n[settings]\nsubsampling = "4:4:4"\ndepth = 8\ntuned = false\n')
    recorded = codec.settings(5.0)
    assert list(recorded) == ["subsampling", "depth", "tuned", "command", "declaration"]
    assert [recorded["subsampling"], recorded["depth"], recorded["tuned"]] == ["4:4:4", 8, False]


def test_a_whole_number_is_written_without_a_point(make: Make) -> None:
    codec = make(TOML.replace("[knob]", "[knob]\ninteger = true"))
    assert str(codec.settings(7.0)["command"]).startswith("./encode 7 ")
    with pytest.raises(ValueError, match="whole"):
        codec.encode(picture(), 7.5)


def test_threads_share_a_codec(make: Make) -> None:
    codec = make()
    steps = [1.0, 3.0, 9.0, 27.0]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda step: codec.encode(picture(), step), steps))
    assert together == [codec.encode(picture(), step) for step in steps]


def test_bad_pixels_and_settings_are_refused_before_anything_runs(make: Make) -> None:
    codec = make()
    with pytest.raises(ValueError, match="uint8"):
        codec.encode(picture().astype(float), 1)  # type: ignore[arg-type]
    for call in (codec.settings, lambda setting: codec.encode(picture(), setting)):
        with pytest.raises(ValueError, match="not between"):
            call(65)


# Versions


def test_without_a_version_command_the_programs_and_the_declaration_are_the_version(
    make: Make,
) -> None:
    first = make().version()
    assert first.startswith("executable ")
    assert "(toy.toml " in first
    assert make().version() == first
    assert make(decode=DECODE + "\n# another").version() != first
    other = make(TOML + "\n# another").version()
    assert other.split(" (")[0] == first.split(" (")[0]
    assert other != first


def test_a_script_that_an_interpreter_runs_is_part_of_the_version(
    make: Make, tmp_path: Path
) -> None:
    script = tmp_path / "encode.py"
    script.write_text(ENCODE)
    toml = TOML.replace('"./encode"', f'"{sys.executable}", "{script}"')
    before = make(toml).version()
    assert make(toml).encode(picture(), 1).startswith(b"TOY")
    script.write_text(ENCODE + "\n# another")
    assert make(toml).version() != before


VERSION = """
import sys, pathlib
if sys.argv[1] == "-h":
    pathlib.Path(__file__).with_name("asked").open("a").write("x")
    sys.exit("\\n  Toy encoder version 1.2 \\x1b\\nusage: ...")
"""


@pytest.mark.parametrize(
    ("pattern", "version"),
    [("", "Toy encoder version 1.2"), ('version_pattern = "\\\\d.\\\\d"', "1.2")],
)
def test_the_version_command_is_asked_once_and_its_status_does_not_matter(
    make: Make, tmp_path: Path, pattern: str, version: str
) -> None:
    codec = make(f'version = ["./encode", "-h"]\n{pattern}\n{TOML}', VERSION)
    assert [codec.version().split(" (")[0] for _ in range(3)] == [version] * 3
    assert codec.unavailable() == ""
    assert (tmp_path / "asked").read_text() == "x"


def test_a_program_of_the_same_name_that_is_another_is_not_used(make: Make) -> None:
    codec = make(
        f'version = ["./encode", "-h"]\nversion_pattern = "mozjpeg \\\\d"\n{TOML}', VERSION
    )
    assert "tells no version like 'mozjpeg \\d'; it says 'Toy encoder" in codec.unavailable()
    assert codec.unavailable().endswith("Ask the toy maker.")
    with pytest.raises(CodecUnavailable, match="tells no version"):
        codec.encode(picture(), 1)


def test_a_version_command_that_hangs_makes_the_codec_unavailable_and_is_not_asked_at_every_turn(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "_VERSION_SECONDS", 0.5)
    hangs = f"import time; open({str(tmp_path / 'asked')!r}, 'a').write('x'); time.sleep(60)"
    codec = make(f'version = ["./encode"]\n{TOML}', hangs)
    assert "did not end within 0.5 seconds." in codec.unavailable()
    assert codec.version().startswith("unknown version (toy.toml")
    assert (tmp_path / "asked").read_text() == "x"
    monkeypatch.setattr(command_line, "_ASK_AGAIN_SECONDS", 0.0)
    assert "did not end" in codec.unavailable()
    assert (tmp_path / "asked").read_text() == "xx"


def test_the_version_is_asked_again_when_a_folder_that_the_commands_name_changes(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "weights").mkdir()
    lists = "import os, sys; print('files:', *sorted(os.listdir(sys.argv[1])))"
    codec = make(f'version = ["./encode", "{tmp_path / "weights"}"]\n{TOML}', lists)
    assert codec.version().startswith("files: (")
    (tmp_path / "weights" / "new").write_text("")
    os.utime(tmp_path / "weights", (1, 1))  # clocks of file systems may be coarse
    assert codec.version().startswith("files: new (")


def test_a_missing_program_is_told_with_how_to_get_it(make: Make) -> None:
    codec = make(TOML.replace('"./decode"', '"no-such-program"'))
    assert codec.unavailable() == "no-such-program is not on this machine. Ask the toy maker."
    assert codec.version().startswith("not found")
    with pytest.raises(CodecUnavailable, match="Ask the toy maker"):
        codec.encode(picture(), 1)
    with pytest.raises(CodecUnavailable, match="no-such-program"):
        codec.decode(b"TOY")


# Hostile programs


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        ("", "wrote no bitstream.toy"),
        ("import sys; open(sys.argv[2], 'w')", "wrote nothing into"),
        ("import os, sys; os.symlink('/etc/passwd', sys.argv[2])", "no plain file"),
        ("import os, sys; os.mkfifo(sys.argv[2])", "no plain file"),
        ("import os, sys; os.mkdir(sys.argv[2])", "no plain file"),
        ("import os, shutil; shutil.rmtree(os.getcwd())", "wrote no bitstream.toy"),
        ("import os, sys; os.mkdir('a', 0); sys.exit(0)", "wrote no bitstream.toy"),
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        ("import sys; print('a\\x00\\x1b[31m' * 9); sys.exit('bad \\x07 news')", "bad   news"),
        ("import os; os.write(2, b'\\xff' * 5000); raise SystemExit(3)", "ended with status 3"),
        (
            "import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
            "file = open(sys.argv[2], 'wb')\nwhile True: file.write(bytes(100000))",
            "wrote more than 2 MB",
        ),
        (
            "import sys; file = open(sys.argv[2], 'wb')\nwhile True: file.write(bytes(100000))",
            "File too large",
        ),
    ],
)
def test_what_a_program_does_wrong_is_one_line_that_names_it(
    make: Make, encode: str, message: str
) -> None:
    with pytest.raises(EncodeFailed, match=r"^Toy: encode ") as failure:
        make(encode=encode).encode(picture(), 1)
    assert message in str(failure.value)
    assert str(failure.value).isprintable()
    assert len(str(failure.value)) < 500


def test_a_program_that_hangs_is_ended_with_its_children(make: Make, tmp_path: Path) -> None:
    pid = tmp_path / "child"
    hangs = f"""
import os, time
if os.fork() == 0:
    open({str(pid)!r}, "w").write(str(os.getpid()))
time.sleep(60)
"""
    started = time.monotonic()
    with pytest.raises(EncodeFailed, match=r"did not end within 3 seconds"):
        make(TOML.replace("seconds = 20", "seconds = 3"), hangs).encode(picture(), 1)
    assert time.monotonic() - started < 30
    assert ends(int(pid.read_text()))


def test_a_child_that_outlives_its_program_is_ended(make: Make, tmp_path: Path) -> None:
    pid = tmp_path / "child"
    leaves = f"""
child = os.fork()
if child == 0:
    import time; time.sleep(60)
open({str(pid)!r}, "w").write(str(child))
"""
    codec = make(encode=ENCODE + leaves)
    assert codec.encode(picture(), 1).startswith(b"TOY")
    assert ends(int(pid.read_text()))


def ends(pid: int) -> bool:
    """Whether a process is gone within a few seconds, or is dead and only not yet reaped."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


def test_megabytes_of_talk_do_no_harm(make: Make) -> None:
    assert make(encode=ENCODE + "print('talk ' * 300_000)").encode(picture(), 1)[:3] == b"TOY"


def test_a_program_gets_a_private_folder_and_no_secrets(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "hush")
    monkeypatch.setenv("DATABASE_URL", "postgres://hush")
    tells = """
import os, sys
about = [os.getcwd(), oct(os.stat(".").st_mode), str(os.getsid(0) == os.getpid()),
         sys.stdin.read(), repr(dict(os.environ))]
open(sys.argv[2], "w").write("\\n".join(about))
"""
    folder, mode, leads, read, environment = (
        make(encode=tells).encode(picture(), 1).decode().split("\n")
    )
    assert stat.S_IMODE(int(mode, 8)) == 0o700
    assert leads == "True"
    assert read == ""
    assert "hush" not in environment
    assert eval(environment) == {  # noqa: S307  # our own program wrote it
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
    }
    assert not Path(folder).exists()


def test_memory_is_limited_where_the_declaration_says_so(make: Make) -> None:
    hungry = "held = bytearray(400_000_000)\n" + ENCODE
    assert make(encode=hungry).encode(picture(), 1)[:3] == b"TOY"
    limited = TOML + "\nmegabytes_of_memory = 300\n"
    assert make(limited).encode(picture(), 1)[:3] == b"TOY"
    with pytest.raises(EncodeFailed, match="MemoryError"):
        make(limited, hungry).encode(picture(), 1)


def test_a_program_that_does_not_start_says_so(make: Make, tmp_path: Path) -> None:
    codec = make()
    (tmp_path / "encode").write_bytes(b"\x7fELF no program")
    with pytest.raises(EncodeFailed, match="does not start"):
        codec.encode(picture(), 1)


def written(content: bytes) -> str:
    return f"import sys; open(sys.argv[2], 'wb').write({content!r})"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"garbage", "no readable PPM"),
        (b"P6\n4 4\n255\nshort", "no readable PPM"),
        (b"P6\n1 1\n65535\n123456", "no 8-bit"),
        (b"P3\n1 1\n255\n1 2 3\n", "no 8-bit"),
        (b"P6\n50000 50000\n255\n", "megapixels"),
        (b"\x89PNG\r\n\x1a\n", "no readable PPM"),
    ],
)
def test_what_is_no_8_bit_picture_is_refused(make: Make, content: bytes, message: str) -> None:
    with pytest.raises(DecodeFailed, match=message):
        make(decode=written(content)).decode(b"anything")


def test_a_broken_bitstream_is_told_in_the_programs_own_words(make: Make) -> None:
    with pytest.raises(DecodeFailed, match=r"Toy: decode ended with status 1: .*no TOY file"):
        make().decode(b"FOREIGN 1 2 3\n")


def test_a_picture_of_another_size_fails_the_search(make: Make) -> None:
    with pytest.raises(CodecError, match="another size"):
        list(encode_to_rates(make(decode=written(b"P6\n1 1\n255\nabc")), picture(), [6.0]))


# Declarations


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('name = "toy"', 'name = "To y"', "name: "),
        ('name = "toy"', "name = 3", "name: "),
        ('name = "toy"', "", "name: "),
        ('label = "Toy"', 'label = ""', "label: "),
        ('".toy"', '"../toy"', "extension: "),
        ('"ppm"', '"bmp"', "picture: "),
        ('label = "Toy"', 'colour = "red"', "colour: "),
        ('label = "Toy"', 'version_pattern = "("', "version_pattern: "),
        ('label = "Toy"', 'version_pattern = "1"', "version_pattern: there is no version"),
        ('label = "Toy"', "memory_per_pixel = 1.5", "memory_per_pixel: "),
        ('label = "Toy"', 'version = ["toy", "{picture}"]', "version: "),
        ('"{setting}", ', "", "encode: it lacks {setting}"),
        ('["./decode", "{bitstream}", "{picture}"]', "[]", "decode: "),
        ('["./decode", "{bitstream}", "{picture}"]', '"toy {bitstream}"', "decode: "),
        ('["./decode", "{bitstream}", "{picture}"]', '["toy", "{bitstream}"]', "decode: it lacks"),
        ('"{setting}"', '"{setting}", "{home}"', "encode: '{home}'"),
        ('"{setting}"', '"{setting}", "{}"', "encode: '{}'"),
        ('"{setting}"', '"{setting.__class__}"', "encode: "),
        ('"{setting}"', '"{setting!r}"', "encode: "),
        ('"{setting}"', '"{setting:9}"', "encode: "),
        ('"{setting}"', '"{setting"', "encode: "),
        ('"./encode"', '"{setting}"', "encode: "),
        ('"./encode"', '""', "encode: "),
        ('"./encode"', '"a\\u0000b"', "encode: "),
        ("low = 1", "", "knob.low: it is missing"),
        ("low = 1", "low = true", "knob.low: "),
        ("low = 1", "low = nan", "knob.low: "),
        ("low = 1", "low = 64", "knob: "),
        ("low = 1", "low = 0", "knob: "),
        ("low = 1", "low = 1\ninteger = 1", "knob.integer: "),
        ("low = 1", "low = 1\nstep = 1", "knob.step: "),
        ("low = 1", "low = 1\ncurve = [[1, 2, 3]]", "knob.curve: "),
        ("low = 1", "low = 1\ncurve = [[1, 2], [2, 3]]", "knob: "),
        ('scale = "log"', 'scale = "square"', "knob.scale: "),
        ("seconds = 20", "seconds = 0", "limits.seconds: "),
        ("seconds = 20", "seconds = inf", "limits.seconds: "),
        ("seconds = 20", "hours = 2", "limits.hours: "),
        ("[limits]", "[[limits]]", "limits: "),
        ("[limits]", "[settings]\ncommand = 'toy'\n[limits]", "settings.command: "),
        ("[limits]", "[settings]\ndepth = [8]\n[limits]", "settings.depth: "),
        ("[limits]", "[settings]\ndepth = nan\n[limits]", "settings.depth: "),
        ("[knob]", "[knob", "it is no TOML"),
    ],
)
def test_a_wrong_declaration_names_the_file_and_the_key(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    assert old in TOML
    file = tmp_path / "wrong.toml"
    file.write_text(TOML.replace(old, new))
    with pytest.raises(BadDeclaration) as failure:
        read_declaration(file)
    assert str(failure.value).startswith(key)
    (broken,) = codecs.load_codecs([], [file]).values()
    assert isinstance(broken, codecs.BrokenCodec)
    assert f"{file}: {key}" in broken.unavailable()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
keys = st.sampled_from(sorted(command_line._KEYS))


@given(st.dictionaries(keys, values), st.dictionaries(keys, values))
@settings(deadline=None, max_examples=100)
def test_any_table_is_a_declaration_or_is_refused(
    changes: dict[str, object], knob: dict[str, object]
) -> None:
    table: dict[str, object] = {
        "name": "toy",
        "extension": ".toy",
        "encode": ["toy", "{setting}", "{bitstream}", "{picture}"],
        "decode": ["toy", "{bitstream}", "{picture}"],
        "knob": {"low": 0, "high": 1, **knob},
    }
    try:
        declared = command_line._declaration(table | changes, Path("/"), "toy.toml 0")
    except BadDeclaration:
        return
    hash(declared)
    CommandLineCodec(declared)


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(content)
    with pytest.raises(BadDeclaration):
        read_declaration(file)


@given(st.floats(1, 64))
def test_the_written_setting_is_the_very_number(setting: float) -> None:
    declared = read_declaration(command_line.READY / "cjpeg.toml")
    codec = CommandLineCodec(replace(declared, knob=Knob(1, 64)))
    command = str(codec.settings(setting)["command"]).split()
    assert float(command[command.index("-quality") + 1]) == setting


def test_keys_that_may_be_left_out_have_the_stated_values(tmp_path: Path) -> None:
    lines = [line for line in TOML.splitlines() if "label" not in line and "how_to" not in line]
    text = "\n".join(lines).split("[limits]")[0].replace('"ppm"', '"png"')
    (tmp_path / "a.toml").write_text(text)
    declared = read_declaration(tmp_path / "a.toml")
    assert declared.label == "toy"
    assert declared.memory_per_pixel == 200
    assert declared.limits == command_line.Limits(60, 256, 0)


# Where declarations are found


def test_the_variable_names_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("b.toml", "a.toml", "notes.txt"):
        (tmp_path / "folder" / name).write_text(TOML)
    (tmp_path / "one.toml").write_text(TOML)
    named = [tmp_path / "one.toml", tmp_path / "folder", tmp_path / "one.toml", tmp_path / "no"]
    found = declarations(os.pathsep.join(map(str, named)))
    ready = sorted(command_line.READY.glob("*.toml"))
    folder = tmp_path / "folder"
    ours = [tmp_path / "one.toml", folder / "a.toml", folder / "b.toml", tmp_path / "no"]
    assert found == [*ready, *ours]
    assert declarations("") == ready
    loaded = codecs.load_codecs([], found)
    assert isinstance(loaded["toy"], CommandLineCodec)
    assert "cannot be read (No such file" in loaded[str(tmp_path / "no")].unavailable()
    assert "'toy' is taken by Toy" in loaded[f"toy ({folder / 'a.toml'})"].unavailable()


def test_an_installed_codec_keeps_its_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TOML.replace('"toy"', '"jpeg"'))
    jpeg = next(point for point in codecs.entry_points(group=codecs.GROUP) if point.name == "jpeg")
    found = codecs.load_codecs([jpeg], [file])
    assert not isinstance(found["jpeg"], CommandLineCodec | codecs.BrokenCodec)
    assert "name: 'jpeg' is taken by JPEG" in found[f"jpeg ({file})"].unavailable()


def test_the_variable_adds_to_the_installed_codecs(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    monkeypatch.setenv(command_line.VARIABLE, str(tmp_path / "toy.toml"))
    codecs._installed.cache_clear()
    try:
        assert codecs.get_codec("toy").unavailable() == ""
        assert codecs.get_codec("jpeg").unavailable() == ""
    finally:
        codecs._installed.cache_clear()


@pytest.mark.parametrize("name", ["bpg", "cjpeg"])
def test_the_ready_codecs_are_here_or_tell_how_to_get_them(name: str) -> None:
    codec = codecs.load_codecs([], declarations(""))[name]
    assert isinstance(codec, CommandLineCodec)
    if reason := codec.unavailable():
        assert "https://" in reason
    else:
        pixels = picture(40, 56)
        middle = (codec.knob.low + codec.knob.high) // 2
        assert codec.decode(codec.encode(pixels, middle)).shape == pixels.shape


def test_the_guides_example_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "add-a-codec.md").read_text()
    example = re.search(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert example is not None
    (tmp_path / "webp-ffmpeg.toml").write_text(example[1])
    (tmp_path / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    codec = CommandLineCodec(read_declaration(tmp_path / "webp-ffmpeg.toml"))
    assert codec.unavailable() == ""
    assert codec.version().startswith("ffmpeg version ")
    small, large = (codec.encode(picture(65, 97), setting) for setting in (20, 90.5))
    assert small[:4] == large[:4] == b"RIFF"
    assert len(small) < len(large)
    decoded = codec.decode(large)
    assert decoded.shape == (65, 97, 3)
    assert np.abs(decoded.astype(int) - picture(65, 97)).mean() < 15
