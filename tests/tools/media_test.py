#!/usr/bin/env python3
"""Media as it comes: what curate records of a file is what ffprobe says of it.

    media_test.py LEDGER CURATE

The clips are made here by Debian's ffmpeg, one for each codec, container and oddity; the answers are those of Debian's ffprobe,
which counts the frames by decoding them. To look at one by hand: ffprobe -count_frames -show_streams FILE. Skips (77) without ffmpeg.
"""
import contextlib
import json
import pathlib
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import unittest

import bad_input_test as world_of

SCENE = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=1.2"]
SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1.2"]
X264 = ["-c:v", "libx264", "-preset", "ultrafast"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"]
HD = ["-vf", "scale=1280:720,setsar=1"]

# name of the file: (encoder's options, words that the line of the file must hold)
CODECS = {
    "h264.mp4": (X264, ""),
    "h264_10.mkv": (X264 + ["-pix_fmt", "yuv420p10"], ""),
    "h264.ts": (X264, ""),
    "h264.mov": (X264, ""),
    "hevc_8.mp4": (X265, ""),
    "hevc_10.mkv": (X265 + ["-pix_fmt", "yuv420p10"], ""),
    "hevc_12.mp4": (X265 + ["-pix_fmt", "yuv420p12"], ""),
    "hevc.ts": (X265, ""),
    "av1.mkv": (["-c:v", "libaom-av1", "-cpu-used", "8", "-t", "0.4"], ""),
    "av1.mp4": (["-c:v", "libaom-av1", "-cpu-used", "8", "-t", "0.4"], ""),
    "vp8.webm": (["-c:v", "libvpx", "-cpu-used", "8", "-deadline", "realtime"], ""),
    "vp9.webm": (["-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime"], ""),
    "vp9.mp4": (["-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime"], ""),
    "mpeg2.mpg": (["-c:v", "mpeg2video"], ""),
    "mpeg2.ts": (["-c:v", "mpeg2video"], ""),
    "mpeg2.mxf": (["-c:v", "mpeg2video"], ""),
    "mpeg4.avi": (["-c:v", "mpeg4"], ""),
    "mpeg4.mp4": (["-c:v", "mpeg4"], ""),
    "prores.mov": (["-c:v", "prores_ks", "-pix_fmt", "yuv422p10"], ""),
    "prores_444.mov": (["-c:v", "prores_ks", "-pix_fmt", "yuva444p10", "-profile:v", "4444"], ""),
    "dnxhd.mov": (HD + ["-c:v", "dnxhd", "-b:v", "60M", "-pix_fmt", "yuv422p", "-r", "25", "-t", "0.4"], ""),
    "dnxhr.mxf": (HD + ["-c:v", "dnxhd", "-profile:v", "dnxhr_hq", "-pix_fmt", "yuv422p", "-t", "0.4"], ""),
    "mjpeg.avi": (["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"], ""),
    "mjpeg.mov": (["-c:v", "mjpeg", "-pix_fmt", "yuvj422p"], ""),
}
ODDITIES = {
    "interlaced.ts": (["-vf", "setfield=tff", "-c:v", "mpeg2video", "-flags", "+ilme+ildct"], "interlaced"),
    "anamorphic.mp4": (["-vf", "setsar=16/11"] + X264, "pixels 16:11"),
    "anamorphic.mpg": (["-vf", "setdar=16/9", "-c:v", "mpeg2video"], "pixels 4:3"),
    "hdr.mp4": (X265 + ["-pix_fmt", "yuv420p10", "-color_trc", "smpte2084", "-color_primaries", "bt2020",
                        "-colorspace", "bt2020nc"], "HDR (smpte2084)"),
    "hlg.mkv": (X265 + ["-pix_fmt", "yuv420p10", "-color_trc", "arib-std-b67", "-color_primaries", "bt2020",
                        "-colorspace", "bt2020nc"], "HDR (arib-std-b67)"),
    "timecode.mov": (X264 + ["-timecode", "10:11:12:13"], "timecode 10:11:12:13"),
    "timecode.mxf": (["-c:v", "mpeg2video", "-timecode", "01:00:00:00"], "timecode 01:00:00:00"),
    "late.mkv": (X264 + ["-output_ts_offset", "10"], ""),
    "late.mp4": (X264 + ["-output_ts_offset", "10"], ""),
    "late.ts": (X264 + ["-output_ts_offset", "10"], ""),
    "variable.mkv": (["-vf", "select='lt(mod(n,5),3)'", "-fps_mode", "vfr"] + X264, ""),
    "variable.mp4": (["-vf", "select='lt(mod(n,5),3)'", "-fps_mode", "vfr"] + X264, ""),
    "fragments.mp4": (X264 + ["-movflags", "frag_keyframe+empty_moov", "-g", "5"], ""),
    "small.mkv": (["-vf", "scale=2:2", "-c:v", "ffv1"], ""),
    "odd.webm": (["-vf", "scale=127:95", "-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime"], ""),
}

# Where the display matrix sends right and down: (right.x, right.y, down.x, down.y).
MIRRORED = {"mirrored.mp4": (-1, 0, 0, 1), "flipped.mp4": (1, 0, 0, -1), "transposed.mp4": (0, 1, 1, 0),
            "mirrored_270.mp4": (0, -1, -1, 0)}


def with_matrix(mp4, a, b, c, d):
    one = 1 << 16
    plain, new = (struct.pack(">9i", *m) for m in ((one, 0, 0, 0, one, 0, 0, 0, 1 << 30),
                                                   (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)))
    at = mp4.index(plain, mp4.index(b"tkhd"))
    return mp4[:at] + new + mp4[at + len(plain):]


def ffmpeg(*options):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, options)], check=True, stdin=subprocess.DEVNULL)


def make(folder):
    """The whole table, and what takes two steps. Returns name: words."""
    words = {}
    for name, (options, expected) in {**CODECS, **ODDITIES}.items():
        ffmpeg(*SCENE, *options, folder / name)
        words[name] = expected
    for degrees in (90, 180, 270):
        # ffmpeg of Debian 12 writes the matrix from this tag; the picture stays as it was coded.
        name = f"rotated_{degrees}.mp4"
        ffmpeg("-i", folder / "h264.mp4", "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}", folder / name)
        words[name] = "rotated"
    for name, matrix in MIRRORED.items():
        (folder / name).write_bytes(with_matrix((folder / "h264.mp4").read_bytes(), *matrix))
        ffmpeg("-i", folder / name, "-c:v", "ffv1", folder / f"upright_{name}.mkv")  # as ffmpeg lays it down
        words[name], words[f"upright_{name}.mkv"] = "mirrored", ""
    ffmpeg(*SCENE, *X264, "-output_ts_offset", "95442.2", folder / "clock_begins_again.ts")  # 2^33 ticks of 90 kHz are 95443.7 s
    words["clock_begins_again.ts"] = ""
    ffmpeg("-ss", "0.5", "-i", folder / "h264.mp4", "-c", "copy", folder / "edit_list.mp4")
    ffmpeg(*SCENE, *SOUND, *SOUND, "-map", "0", "-map", "1", "-map", "2", *X264, "-c:a", "aac", folder / "tracks.mp4")
    ffmpeg(*SCENE, *SOUND, "-c:v", "mpeg2video", "-c:a", "pcm_s16le", "-ar", "48000", folder / "sound.mxf")
    return {**words, "edit_list.mp4": "", "tracks.mp4": "2 audio tracks", "sound.mxf": ""}


def probe(path):
    done = subprocess.run(["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0", "-of", "json", "-show_streams",
                           "-show_frames", "-show_entries", "frame=best_effort_timestamp_time,width",
                           path], check=True, capture_output=True, text=True)
    answer = json.loads(done.stdout)
    stream = answer["streams"][0]
    width, height = stream["width"], stream["height"]
    across, down = map(int, stream.get("sample_aspect_ratio", "1:1").split(":"))
    if across > 0 and down > 0:
        width = width * across / down
    turn = [side["rotation"] for side in stream.get("side_data_list", []) if "rotation" in side]
    if turn and turn[0] % 180 != 0:
        width, height = height, width
    times = [float(f["best_effort_timestamp_time"]) for f in answer["frames"] if "best_effort_timestamp_time" in f]
    return {"codec": stream["codec_name"], "width": round(width), "height": round(height),
            "frames": int(stream["nb_read_frames"]), "last": times[-1] - times[0]}


class Media(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.TemporaryDirectory()
        base = pathlib.Path(cls.top.name) / "w"
        base.mkdir()
        cls.world = world_of.make_world(base)
        cls.world.must(*world_of.append(cls.world, cls.world.licence()))
        cls.world.delivery.mkdir()
        cls.words = make(cls.world.delivery)
        cls.done = cls.world.run(*world_of.ingest(cls.world), "--json")
        cls.lines = {line.get("path"): line for line in map(json.loads, cls.done.stdout.splitlines())}
        with contextlib.closing(sqlite3.connect(f"file:{cls.world.db}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            cls.rows = {row["path"]: dict(row) for row in db.execute("SELECT * FROM source")}
            cls.noted = dict(db.execute("SELECT s.path, m.note FROM measure m JOIN source s ON s.seq = m.source WHERE m.kind = 'media'").fetchall())
            cls.first = {path: pdq[:32] for path, pdq in db.execute(
                "SELECT s.path, f.pdq FROM fingerprint f JOIN source s ON s.seq = f.source WHERE f.first_frame = 0")}
            cls.last = dict(db.execute(
                "SELECT s.path, f.pts_us FROM fingerprint f JOIN source s ON s.seq = f.source ORDER BY f.first_frame").fetchall())

    @classmethod
    def tearDownClass(cls):
        cls.top.cleanup()

    def test_every_codec_and_container_is_what_ffprobe_says(self):
        for name in self.words:
            with self.subTest(name):
                self.assertIn(name, self.rows, self.lines.get(name))
                row, answer = self.rows[name], probe(self.world.delivery / name)
                self.assertEqual((row["video_codec"], row["width"], row["height"], row["frames"], row["problem"]),
                                 (answer["codec"], answer["width"], answer["height"], answer["frames"], ""))
                last = int.from_bytes(self.last[name][-8:], "little") / 1e6
                self.assertAlmostEqual(last, answer["last"], delta=0.002)
                self.assertEqual(row["variable_frame_rate"], int(name.startswith("variable")))

    def test_the_line_of_a_file_notes_what_is_special(self):
        for name, expected in self.words.items():
            with self.subTest(name):
                notes = self.lines[name].get("notes", "")
                self.assertIn(expected, notes)
                self.assertEqual(self.noted.get(name, ""), notes, "on record")
                if name in CODECS:
                    self.assertNotRegex(notes, "HDR|interlaced|rotated|audio|pixels")

    def test_what_a_matrix_mirrors_is_seen_as_players_show_it(self):
        for name in MIRRORED:
            with self.subTest(name):
                bits = bin(int.from_bytes(self.first[name], "big") ^ int.from_bytes(self.first[f"upright_{name}.mkv"], "big")).count("1")
                self.assertLessEqual(bits, 8)

    def test_of_a_damaged_file_the_good_part_is_kept_and_the_place_named(self):
        world = world_of.World(pathlib.Path(self.top.name) / "damaged")
        world.folder.mkdir()
        world = world_of.make_world(world.folder)
        world.must(*world_of.append(world, world.licence()))
        world.delivery.mkdir()
        for name in ("vp9.webm", "h264_10.mkv", "mpeg4.avi", "mpeg2.mxf", "fragments.mp4"):
            bytes_ = (self.world.delivery / name).read_bytes()
            (world.delivery / name).write_bytes(bytes_[: len(bytes_) * 7 // 10])
        ffmpeg("-i", self.world.delivery / "mjpeg.mov", "-c", "copy", "-movflags", "faststart", world.delivery / "front.mov")
        front = world.delivery / "front.mov"
        front.write_bytes(front.read_bytes()[: front.stat().st_size * 7 // 10])
        hole = bytearray((self.world.delivery / "h264.ts").read_bytes())
        middle = len(hole) // 2 // 188 * 188
        hole[middle : middle + 188 * 6] = bytes(188 * 6)
        (world.delivery / "hole.ts").write_bytes(hole)
        # Holes, as a copy that was broken off and resumed elsewhere leaves them: nothing of them is on the disk, and they read as zeros.
        long = self.world.delivery / "whole.mkv"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10:duration=12", "-c:v", "mpeg4", "-g", "5", "-cluster_time_limit", "1000", long)
        ffmpeg("-i", long, "-c", "copy", self.world.delivery / "whole.mp4")
        bytes_of_mkv = long.read_bytes()
        for name in ("whole.mkv", "whole.mp4"):
            bytes_ = (self.world.delivery / name).read_bytes()
            (self.world.delivery / name).unlink()
            with open(world.delivery / f"sparse_{name}", "wb") as file:
                file.write(bytes_[: len(bytes_) * 45 // 100])
                file.seek(len(bytes_) * 55 // 100)
                file.write(bytes_[len(bytes_) * 55 // 100 :])
        with open(world.delivery / "sparse_tail.mkv", "wb") as file:  # room that was reserved, and never filled
            file.write(bytes_of_mkv[: len(bytes_of_mkv) * 7 // 10])
            file.truncate(1 << 30)
        done = world.run(*world_of.ingest(world))
        with contextlib.closing(sqlite3.connect(f"file:{world.db}?mode=ro", uri=True)) as db:
            rows = {path: (frames, problem) for path, frames, problem in db.execute("SELECT path, frames, problem FROM source")}
        for path in sorted(p.name for p in world.delivery.iterdir()):
            with self.subTest(path):
                self.assertIn(path, rows, done.stdout)
                frames, problem = rows[path]
                self.assertGreater(frames, 5)
                self.assertLess(frames, 120 if path.startswith("sparse") else 31)
                if path in ("sparse_whole.mkv", "sparse_whole.mp4"):
                    self.assertGreater(frames, 90, "what comes after the hole is good, too")
                    self.assertRegex(problem, r"at [45]\.\d\d s", "it is where the hole begins")
                self.assertRegex(problem, r"at \d+\.\d\d s|from \d+\.\d\d s on", "where it broke is not said")


if __name__ == "__main__":
    world_of.LEDGER, world_of.CURATE = sys.argv[1:]
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        print("skipped: there is no ffmpeg")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
