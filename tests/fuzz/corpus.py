"""A target's corpus as one text file, an input a line: corpus.py unpack FILE FOLDER, corpus.py pack FOLDER FILE.

Bytes that are no printable ASCII, and backslashes, are written as \\xNN. Lines are sorted, so that a change shows what is new.
"""

import hashlib
import pathlib
import re
import sys


def written(data):
    return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\x{byte:02x}" for byte in data)


def read(line):
    return re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), line)


def unpack(file, folder):
    if not file.exists():
        return
    for line in file.read_bytes().splitlines():
        data = read(line)
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def pack(folder, file):
    lines = {written(entry.read_bytes()) for entry in folder.iterdir()} - {""}
    file.write_text("".join(f"{line}\n" for line in sorted(lines)))


{"unpack": unpack, "pack": pack}[sys.argv[1]](*map(pathlib.Path, sys.argv[2:4]))
