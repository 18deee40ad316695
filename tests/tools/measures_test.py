#!/usr/bin/env python3
"""Bars, logos, silence and loudness, as `curate look` says them, against Debian's ffmpeg.

    measures_test.py CURATE

The clips are made by ffmpeg. Peers: its filters ebur128 (loudness), silencedetect and cropdetect; by hand, as
    ffmpeg -i FILE -af ebur128 -f null -      ffmpeg -i FILE -af silencedetect=n=-60dB:d=0.5 -f null -
Skips (77) without ffmpeg.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PICTURE = "testsrc2=size=320x180:rate=25:duration=4"
# A film: something else every second and a half, all of it moving.
FILM = ("mandelbrot=size=320x180:rate=25:maxiter=60,trim=duration=2[a];testsrc2=size=320x180:rate=25:duration=2[b];"
        "life=size=320x180:rate=25:mold=10:ratio=0.3:seed=1:death_color=#403020:life_color=#c0d0e0,trim=duration=2[c];"
        "cellauto=size=320x180:rate=25:rule=110:seed=1,trim=duration=2[d];[a][b][c][d]concat=n=4,format=yuv420p")
BARS = {  # file: (filter over PICTURE, note, rectangle)
    "letterbox.mkv": ("scale=320:136,setsar=1,pad=320:180:0:22", "letterbox", (0, 22, 320, 136)),
    "pillarbox.mkv": ("scale=240:180,setsar=1,pad=320:180:40:0", "pillarbox", (40, 0, 240, 180)),
    "windowbox.mkv": ("scale=240:134,setsar=1,pad=320:180:40:23", "windowbox", (40, 23, 240, 134)),
    "full_range.mkv": ("scale=320:136:out_range=full,format=yuvj420p,setsar=1,pad=320:180:0:22", "letterbox", (0, 22, 320, 136)),
    "ten_bits.mkv": ("scale=320:136,setsar=1,pad=320:180:0:22,format=yuv420p10", "letterbox", (0, 22, 320, 136)),
}
NO_BARS = {
    "plain.mkv": "null",
    # Night: black above and below what is lit, sharply, and never twice at the same height.
    "night.mkv": "eq=brightness=-0.35,drawbox=y=0:w=iw:h=ih/3:t=fill:color=black,drawbox=y=ih*0.8:w=iw:h=ih:t=fill:color=black,"
                 "crop=iw:ih-40:0:'20+20*sin(t*3)',scale=320:180",
    "dark.mkv": "eq=brightness=-0.9:contrast=0.1",
    "one_side.mkv": "drawbox=y=0:w=iw:h=30:t=fill:color=black",
}
SOUNDS = {  # file: (source, encoder's options)
    "sine.mkv": ("sine=frequency=1000:duration=5,volume=-20dB", ["-ar", "48000", "-c:a", "pcm_s16le"]),
    "noise.mkv": ("anoisesrc=color=pink:duration=5:seed=3:amplitude=0.2", ["-ar", "44100", "-c:a", "flac"]),
    "stereo.mkv": ("anoisesrc=color=white:duration=5:seed=3:amplitude=0.1,pan=stereo|c0=c0|c1=0.3*c0",
                   ["-ar", "48000", "-c:a", "pcm_s24le"]),
    "surround.mkv": ("anoisesrc=color=brown:duration=5:seed=7:amplitude=0.5,pan=5.1|c0=c0|c1=0.5*c0|c2=c0|c3=c0|c4=0.7*c0|c5=c0",
                     ["-ar", "48000", "-c:a", "pcm_f32le"]),
    "low_rate.mkv": ("sine=frequency=440:duration=5,volume=-12dB", ["-ar", "16000", "-c:a", "pcm_s16le"]),
    # Loud and soft, so that the relative gate has work, with pauses of 1 s, of 0.3 s and at the end.
    "pauses.mkv": ("anoisesrc=color=pink:duration=9:seed=5:amplitude=0.4,"
                   "volume='if(between(t,2,3)+between(t,5,5.3)+gte(t,8),0,if(lt(t,5),1,0.05))':eval=frame",
                   ["-ar", "48000", "-c:a", "pcm_s16le"]),
    "silent.mkv": ("anullsrc=channel_layout=stereo:sample_rate=48000,atrim=duration=3", ["-c:a", "pcm_s16le"]),
}


def ffmpeg(*options):
    return subprocess.run(["ffmpeg", "-hide_banner", "-nostdin", "-y", *map(str, options)], check=True, capture_output=True, text=True).stderr


class Measures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.addClassCleanup(cls.folder.cleanup)
        for name, (filters, _, _) in BARS.items():
            cls.encode(name, PICTURE + "," + filters)
        for name, filters in NO_BARS.items():
            cls.encode(name, PICTURE + "," + filters)
        for name, (source, options) in SOUNDS.items():
            ffmpeg("-f", "lavfi", "-i", "color=size=64x48:rate=10:duration=3", "-f", "lavfi", "-i", source,
                   "-c:v", "ffv1", *options, cls.root / name)
        ffmpeg("-f", "lavfi", "-i", PICTURE + "," + BARS["letterbox.mkv"][0], "-vf", "transpose=clock", "-c:v", "libx264", "-crf", "20",
               cls.root / "turned.mp4")
        cls.encode("film.mkv", FILM)
        # The logo is drawn with boxes: a ring and a stroke, half transparent.
        logo = ("drawbox=x={x}:y={y}:w=40:h=24:color=white@0.7:t=3,drawbox=x={x}+10:y={y}+8:w=20:h=8:color=black@0.7:t=fill")
        cls.encode("logo.mkv", FILM + "," + logo.format(x=268, y=12))
        cls.encode("logo_left.mkv", FILM + "," + logo.format(x=12, y=146))
        # A camera on a tripod: one thing moves, the rest is still by itself.
        ffmpeg("-f", "lavfi", "-i", "smptehdbars=size=320x180:rate=25:duration=8", "-f", "lavfi",
               "-i", "testsrc2=size=120x120:rate=25:duration=8", "-filter_complex", "[0][1]overlay=x='60+40*sin(t*2)':y=30",
               "-c:v", "ffv1", cls.root / "tripod.mkv")
        out = subprocess.run([CURATE, "look", "--json", cls.root], check=True, capture_output=True, text=True).stdout
        cls.files = {file["path"]: file for file in map(json.loads, out.splitlines())}

    @classmethod
    def encode(cls, name, graph):
        ffmpeg("-f", "lavfi", "-i", graph, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", cls.root / name)

    def measures(self, name, kind):
        self.assertEqual(self.files[name]["problem"], "", name)
        return [m for m in self.files[name]["measures"] if m["kind"] == kind]

    def test_bars_are_where_they_were_put(self):
        for name, (_, note, place) in BARS.items():
            with self.subTest(name):
                bars = self.measures(name, "bars")
                self.assertEqual([m["note"] for m in bars], [note])
                self.assertEqual((bars[0]["start_us"], bars[0]["end_us"]), (0, 4_000_000))
                for key, value in zip(("x", "y", "width", "height"), place):
                    self.assertAlmostEqual(bars[0][key], value, delta=1)

    def test_bars_are_those_of_cropdetect(self):
        for name in BARS:
            with self.subTest(name):
                out = ffmpeg("-i", self.root / name, "-vf", "format=yuv420p,cropdetect=limit=24:round=2", "-f", "null", "-")
                width, height, x, y = map(int, re.findall(r"crop=(\d+):(\d+):(\d+):(\d+)", out)[-1])
                bars = self.measures(name, "bars")[0]
                for ours, theirs in ((bars["x"], x), (bars["y"], y), (bars["width"], width), (bars["height"], height)):
                    self.assertAlmostEqual(ours, theirs, delta=2)

    def test_bars_of_a_turned_picture_are_at_its_sides(self):
        self.assertEqual([m["note"] for m in self.measures("turned.mp4", "bars")], ["pillarbox"])

    def test_dark_pictures_have_no_bars(self):
        for name in [*NO_BARS, "film.mkv", "tripod.mkv"]:
            with self.subTest(name):
                self.assertEqual(self.measures(name, "bars"), [])

    def test_logos_are_found_where_they_stay(self):
        for name, (x, y) in {"logo.mkv": (268, 12), "logo_left.mkv": (12, 146)}.items():
            with self.subTest(name):
                logos = self.measures(name, "logo")
                self.assertEqual(len(logos), 1, logos)
                for key, value in (("x", x), ("y", y), ("width", 40), ("height", 24)):
                    self.assertAlmostEqual(logos[0][key], value, delta=10)

    def test_what_stands_still_by_itself_is_no_logo(self):
        for name in [*BARS, *NO_BARS, "film.mkv", "tripod.mkv"]:
            with self.subTest(name):
                self.assertEqual(self.measures(name, "logo"), [])

    def test_loudness_is_that_of_ebur128(self):
        for name in SOUNDS:
            with self.subTest(name):
                out = ffmpeg("-i", self.root / name, "-af", "ebur128", "-f", "null", "-")
                theirs = float(re.findall(r"I:\s+(-?[\d.]+) LUFS", out)[-1])
                ours = self.measures(name, "loudness")
                if name == "silent.mkv":
                    self.assertEqual((ours, theirs), ([], -70.0))
                else:
                    self.assertAlmostEqual(ours[0]["value"], theirs, delta=0.11)

    def test_silence_is_that_of_silencedetect(self):
        for name in SOUNDS:
            with self.subTest(name):
                out = ffmpeg("-i", self.root / name, "-af", "silencedetect=n=-60dB:d=0.5", "-f", "null", "-")
                starts = list(map(float, re.findall(r"silence_start: (-?[\d.]+)", out)))
                ends = list(map(float, re.findall(r"silence_end: (-?[\d.]+)", out)))
                ours = [(m["start_us"] / 1e6, m["end_us"] / 1e6) for m in self.measures(name, "silence")]
                self.assertEqual(len(ours), len(starts))
                for (start, end), their_start, their_end in zip(ours, starts, ends):
                    self.assertAlmostEqual(start, their_start, delta=0.002)
                    self.assertAlmostEqual(end, their_end, delta=0.002)
        self.assertEqual(len(self.measures("pauses.mkv", "silence")), 2)


if __name__ == "__main__":
    if shutil.which("ffmpeg") is None:
        print("skipped: no ffmpeg")
        sys.exit(77)
    CURATE = sys.argv[1]
    unittest.main(argv=sys.argv[:1])
