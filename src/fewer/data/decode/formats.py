"""Formats of image files: those that are read, those that are known by name only, and how to tell them apart."""

from __future__ import annotations

# Of each format that is read, as Pillow names it, the endings of its files.
ENDINGS = {
    "JPEG": ("jpg", "jpeg", "jpe", "jfif", "jif", "jfi", "mpo"),
    "PNG": ("png", "apng"),
    "BMP": ("bmp", "dib"),
    "DIB": ("dib",),
    "GIF": ("gif",),
    "WEBP": ("webp",),
    "PPM": ("ppm", "pgm", "pbm", "pnm"),
    "TIFF": ("tif", "tiff"),
    "JPEG2000": ("jp2", "j2k", "j2c", "jpc", "jpf", "jpx"),
    "AVIF": ("avif", "avifs"),
}
FORMATS = tuple(ENDINGS)
READ = frozenset(ending for endings in ENDINGS.values() for ending in endings)
# Endings of images that are not read: photos of phones and cameras, drawings, science, and what few programs know.
NOT_READ = frozenset(
    (
        *("heic", "heif", "hif", "heics", "jxl", "jxr", "wdp", "hdp", "bpg", "jls", "pfm", "qoi"),
        *("dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "srf", "sr2", "orf", "rw2", "raf", "pef", "srw", "x3f"),
        *("svg", "svgz", "eps", "emf", "wmf", "psd", "psb", "xcf", "ico", "icns", "cur", "tga", "pcx", "dds", "xbm"),
        *("xpm", "ras", "sgi", "exr", "hdr", "dcm", "dicom", "fits", "fts", "mrc", "nii", "czi", "lif", "nd2", "svs"),
    )
)
_BRANDS = {b"avi": "AVIF", b"hei": "HEIC", b"hev": "HEIC", b"mif": "HEIC", b"msf": "HEIC", b"crx": "Canon CR3"}
_BEGINNINGS = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"II\xbc", "JPEG XR"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\x01\0", "an icon"),
    (b"v/1\x01", "OpenEXR"),
    (b"SIMPLE  =", "FITS"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"gimp xcf", "GIMP"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch that with `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip"),
)


def ending_of(path: str) -> str:
    """What stands behind the last dot, in small letters."""
    return path.rpartition(".")[2].lower()


def is_image(path: str) -> bool:
    """Whether the file's ending is one of the formats that are read."""
    return ending_of(path) in READ


def is_unread_image(path: str) -> bool:
    """Whether the file's ending is one of images that are not read."""
    return ending_of(path) in NOT_READ and "." in path


def named_format(raw: bytes) -> str:
    """What a file is, by its first bytes, if it is of a known format that is not read; else ""."""
    if raw[4:8] == b"ftyp":
        return _BRANDS.get(raw[8:11], "")
    if raw[128:132] == b"DICM":
        return "DICOM"
    text = raw[:2000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml")) and b"<svg" in text:
        return "SVG, a drawing"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a page of HTML, as servers send for a file that they do not have"
    return next((name for beginning, name in _BEGINNINGS if raw.startswith(beginning)), "")
